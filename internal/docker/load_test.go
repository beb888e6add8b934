package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

// What engines really answered to loads.
func TestLoadAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   LoadResult
		fail   string
	}{
		"tags": {
			answer: "{\"stream\":\"Loaded image: t:1\\n\"}\r\n{\"stream\":\"Loaded image: t:2\\n\"}\r\n",
			want:   LoadResult{Refs: []string{"t:1", "t:2"}},
		},
		"no tag": {
			answer: `{"stream":"Loaded image ID: sha256:ab\n"}`,
			want:   LoadResult{IDs: []string{"sha256:ab"}},
		},
		"a tag moves": {
			answer: `{"stream":"The image t:1 already exists, renaming the old one with ID sha256:ab to empty string\n"}{"stream":"Loaded image: t:1\n"}`,
			want:   LoadResult{Refs: []string{"t:1"}},
		},
		"layer missing, graph driver": {
			answer: `{"errorDetail":{"message":"open /var/lib/docker/tmp/docker-import-1/ship/3-ab: no such file or directory"},"error":"open /var/lib"}`,
			fail:   "open /var/lib/docker/tmp/docker-import-1/ship/3-ab: no such file or directory",
		},
		"error without detail": {answer: `{"error":"no space left on device"}`, fail: "no space left on device"},
		"error after success": {
			answer: `{"stream":"Loaded image: t:1\n"}{"errorDetail":{"message":"late"}}`,
			fail:   "late",
		},
		"unpack fails inside a success": {
			answer: `{"stream":"Loaded image: t:1\n"}{"stream":"Error unpacking image t:1: apply layer error: \u001b[31mnot found\n"}`,
			fail:   "Error unpacking image t:1: apply layer error: not found",
		},
		"nothing":        {answer: "", fail: "the engine loaded nothing: it said nothing"},
		"something else": {answer: `{"stream":"hello\n"}`, fail: "the engine loaded nothing: hello"},
		"line in two parts": {
			answer: `{"stream":"Loaded im"}{"stream":"age: t:1\n"}`,
			want:   LoadResult{Refs: []string{"t:1"}},
		},
	} {
		said, err := loadAnswer(strings.NewReader(tc.answer))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := said.result()
		var le *LoadError
		switch {
		case tc.fail != "" && (!errors.As(err, &le) || le.Message != tc.fail):
			t.Errorf("%s: %v, want %q", name, err, tc.fail)
		case tc.fail == "" && (err != nil || !reflect.DeepEqual(got, tc.want)):
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
	if _, err := loadAnswer(strings.NewReader(`{"stream":"Loaded image: t:1\n"}{"str`)); err == nil {
		t.Error("an answer cut short is taken for whole")
	}
}

func FuzzLoadAnswer(f *testing.F) {
	f.Add([]byte(`{"stream":"Loaded image: t:1\n"}{"stream":"Loaded image ID: sha256:ab\n"}`))
	f.Add([]byte(`{"errorDetail":{"message":"no space left on device"},"error":"x"}`))
	f.Add([]byte(`{"stream":"Error unpacking image t:1: \u001b[2Jgone\n"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		said, err := loadAnswer(bytes.NewReader(in))
		if err != nil {
			if said != (loadSaid{}) {
				t.Fatalf("%+v with error %v", said, err)
			}
			return
		}
		res, err := said.result()
		if (err == nil) != (len(res.Refs)+len(res.IDs) > 0) {
			t.Fatalf("%+v with error %v", res, err)
		}
		texts := append(res.Refs, res.IDs...)
		if err != nil {
			texts = []string{err.Error()}
		}
		for _, s := range texts {
			if len(s) > maxText+100 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("unfit for people: %q", s)
			}
		}
	})
}

// An engine that refuses early and hangs up: the reason arrives, and the producer is let go with it.
func TestLoadRefusedEarly(t *testing.T) {
	for range 20 {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
			_, _ = io.WriteString(w, `{"errorDetail":{"message":"no space left on device"}}`)
		})
		pr, pw := io.Pipe()
		produced := make(chan error, 1)
		go func() {
			_, err := io.Copy(pw, endless{})
			produced <- err
		}()
		_, err := c.LoadImage(t.Context(), pr)
		var le *LoadError
		if !errors.As(err, &le) || le.Message != "no space left on device" {
			t.Fatalf("load: %v", err)
		}
		if err := <-produced; !errors.As(err, &le) {
			t.Fatalf("producer: %v, want the engine's reason", err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A producer that fails breaks the upload off, so that the engine cannot take it for whole.
func TestLoadProducerFails(t *testing.T) {
	ended := make(chan error, 1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	pr, pw := io.Pipe()
	broken := errors.New("layer changed while reading")
	go func() {
		_, _ = pw.Write(make([]byte, 1<<20))
		pw.CloseWithError(broken)
	}()
	if _, err := c.LoadImage(t.Context(), pr); !errors.Is(err, broken) {
		t.Errorf("%v, want the producer's error", err)
	}
	if err := <-ended; err == nil {
		t.Error("the engine saw a whole upload")
	}
}

// The link dies while the producer sleeps: an error at once.
func TestLoadLinkDies(t *testing.T) {
	server := make(chan net.Conn, 1)
	c := New(func(context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		server <- b
		return a, nil
	})
	defer c.Close()
	pr, pw := io.Pipe()
	go func() {
		conn := <-server
		_, _ = io.ReadFull(conn, make([]byte, 20))
		conn.Close()
	}()
	if _, err := c.LoadImage(t.Context(), pr); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want unexpected EOF", err)
	}
	if _, err := pw.Write([]byte("more")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("producer: %v, want unexpected EOF", err)
	}
}

// An archive may end in padding that the engine does not wait for: its producer ends in peace.
func TestLoadAnsweredBeforeTheEnd(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		_, _ = io.WriteString(w, `{"stream":"Loaded image: t:1\n"}`)
	})
	pr, pw := io.Pipe()
	produced := make(chan error, 1)
	go func() {
		_, err := pw.Write(make([]byte, 10_000))
		produced <- errors.Join(err, pw.Close())
	}()
	if _, err := c.LoadImage(t.Context(), pr); err != nil {
		t.Errorf("load: %v", err)
	}
	if err := <-produced; err != nil {
		t.Errorf("producer: %v", err)
	}
}

// Cancelling ends a load at once though its producer sleeps.
func TestLoadCancel(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	why := errors.New("deadline of the deploy")
	ctx, cancel := context.WithCancelCause(t.Context())
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write([]byte("first bytes"))
		cancel(why)
	}()
	start := time.Now()
	if _, err := c.LoadImage(ctx, pr); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	if _, err := pw.Write([]byte("more")); !errors.Is(err, why) {
		t.Errorf("producer: %v, want the cause", err)
	}
}

// A third load waits for its turn, and no longer than its context.
func TestLoadsAtOnce(t *testing.T) {
	arrived, release := make(chan struct{}, 3), make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, `{"stream":"Loaded image: t:1\n"}`)
	})
	failed := make(chan error, maxLoads)
	for range maxLoads {
		go func() {
			_, err := c.LoadImage(t.Context(), strings.NewReader("archive"))
			failed <- err
		}()
	}
	for range maxLoads {
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.LoadImage(ctx, strings.NewReader("archive")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want deadline exceeded", err)
	}
	close(release)
	for range maxLoads {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	c := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"stream":"Loaded image: t:1\n"}`)
	})
	const size = 64 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.LoadImage(b.Context(), io.LimitReader(endless{}, size)); err != nil {
			b.Fatal(err)
		}
	}
}
