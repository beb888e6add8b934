package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// contentMessage is a ListContentResponse with one blob.
func contentMessage(digest string, size int64, labels map[string]string) []byte {
	info := pbAppendInt(pbAppendBytes(nil, 1, []byte(digest)), 2, size)
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		entry := pbAppendBytes(pbAppendBytes(nil, 1, []byte(k)), 2, []byte(labels[k]))
		info = pbAppendBytes(info, 5, entry)
	}
	return pbAppendBytes(nil, 1, info)
}

func grpcFrame(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
}

// grpcAnswer serves frames and a status on any method, over HTTP/2 as it is: the way of engine 29.
func grpcAnswer(t *testing.T, status string, frames ...[]byte) *Client {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.NotFound(w, r) // no upgrade here
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		for _, f := range frames {
			_, _ = w.Write(f) // the client may have gone
		}
		if status != "" {
			w.Header().Set("Grpc-Status", status)
			w.Header().Set("Grpc-Message", "said%20so%1b[31m")
		}
	})
}

func TestListContentOverPlainHTTP2(t *testing.T) {
	labels := map[string]string{"containerd.io/uncompressed": "sha256:d1", "other": ""}
	c := grpcAnswer(t, "0",
		grpcFrame(append(contentMessage("sha256:a", 5, labels), contentMessage("sha256:b", 0, nil)...)),
		grpcFrame(nil),
		grpcFrame(contentMessage("sha256:c", 1<<40, nil)))
	for range 2 { // the second time it knows that there is no upgrade
		got, err := c.ListContent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || got[0].Digest != "sha256:a" || got[0].Size != 5 || !maps.Equal(got[0].Labels, labels) ||
			got[1].Digest != "sha256:b" || got[1].Labels != nil || got[2].Size != 1<<40 {
			t.Errorf("got %+v", got)
		}
	}
}

func TestContentStatus(t *testing.T) {
	for status, want := range map[string]error{"5": ErrNotFound, "12": ErrUnsupported, "": io.ErrUnexpectedEOF} {
		c := grpcAnswer(t, status)
		if _, err := c.ListContent(t.Context()); !errors.Is(err, want) {
			t.Errorf("list, status %q: %v, want %v", status, err, want)
		}
		if _, err := c.ReadContent(t.Context(), "sha256:a", 0); !errors.Is(err, want) {
			t.Errorf("read, status %q: %v, want %v", status, err, want)
		}
	}
	_, err := grpcAnswer(t, "13").ListContent(t.Context())
	if err == nil || err.Error() != "list content: gRPC status 13: said so" {
		t.Errorf("status 13: %v", err)
	}
}

func TestContentWithoutService(t *testing.T) {
	c := serve(t, http.NotFound)
	if _, err := c.ListContent(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}

func readMessage(offset int64, data string) []byte {
	return grpcFrame(pbAppendBytes(pbAppendInt(nil, 1, offset), 2, []byte(data)))
}

func TestReadContentJoinsMessages(t *testing.T) {
	c := grpcAnswer(t, "0", readMessage(3, "lo, "), readMessage(7, ""), readMessage(7, "world"))
	r, err := c.ReadContent(t.Context(), "sha256:a", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "lo, world" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestReadContentBroken(t *testing.T) {
	for name, c := range map[string]*Client{
		"gap":        grpcAnswer(t, "0", readMessage(0, "ab"), readMessage(3, "d")),
		"cut":        grpcAnswer(t, "", readMessage(0, "ab")),
		"late error": grpcAnswer(t, "2", readMessage(0, "ab")),
		"half frame": grpcAnswer(t, "0", readMessage(0, "ab"), readMessage(2, "cd")[:7]),
		"compressed": grpcAnswer(t, "0", readMessage(0, "ab"), []byte{1, 0, 0, 0, 0}),
	} {
		r, err := c.ReadContent(t.Context(), "sha256:a", 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(r)
		if string(b) != "ab" || err == nil || !strings.HasPrefix(err.Error(), "read content: ") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadContentCancel(t *testing.T) {
	served := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(readMessage(0, "ab"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(served)
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.ReadContent(ctx, "sha256:a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
	<-served // the engine hears of it
}

func FuzzFrame(f *testing.F) {
	f.Add(grpcFrame([]byte("message")))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		msg, err := readFrame(r)
		if err != nil {
			if msg != nil {
				t.Fatalf("%q with error %v", msg, err)
			}
			if err == io.EOF && len(in) > 0 {
				t.Fatal("a broken frame looks like the end")
			}
			return
		}
		if !bytes.Equal(grpcFrame(msg), in[:len(in)-r.Len()]) {
			t.Fatalf("%q from % x", msg, in)
		}
	})
}
