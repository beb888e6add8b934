package sshx

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestConnCarriesBytesBothWays(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
	must(t, err)
	defer k.Close()
	const size = 24 << 20 // many windows
	sent, got := sha256.New(), sha256.New()
	done := make(chan error, 1)
	go func() {
		src := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sent)
		_, err := io.CopyBuffer(struct{ io.Writer }{k}, src, make([]byte, 77777))
		done <- errors.Join(err, k.(interface{ CloseWrite() error }).CloseWrite())
	}()
	n, err := io.Copy(got, k)
	if n != size || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	must(t, <-done)
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Error("other bytes came back")
	}
	if _, err := k.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after CloseWrite: %v", err)
	}
}

func TestConnTellsHowTheCommandEnded(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	for _, tt := range []struct {
		script, out string
		status      int
		text        string
	}{
		{script: "echo fine", out: "fine\n"},
		{script: "echo part; echo '\x1b[1mno such \x07socket' >&2; exit 4", out: "part\n", status: 4, text: "relay: exit status 4: no such socket"},
		{script: "kill -TERM $$", status: 143, text: "relay: killed by signal TERM"},
	} {
		k, err := c.Conn(t.Context(), Command{Script: tt.script, Name: "relay"})
		must(t, err)
		b, err := io.ReadAll(k)
		if string(b) != tt.out {
			t.Errorf("%s: read %q", tt.script, b)
		}
		var exit *ExitError
		if tt.status == 0 && err != nil || tt.status != 0 && (!errors.As(err, &exit) || exit.Status != tt.status || err.Error() != tt.text) {
			t.Errorf("%s: %v", tt.script, err)
		}
		if _, werr := k.Write([]byte("late")); tt.status != 0 && !errors.As(werr, &exit) || tt.status == 0 && !errors.Is(werr, io.ErrClosedPipe) {
			t.Errorf("%s: write: %v", tt.script, werr)
		}
		must(t, k.Close())
	}
}

// The end of stdout is the end for a reader, even if the command goes on and waits for more stdin.
func TestConnHalfClosedByTheCommand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.dial(t)
	k, err := c.Conn(t.Context(), Command{Script: `exec >&- 2>&-; cat >"$1"`, Argv: []string{s.path("out")}})
	must(t, err)
	defer k.Close()
	if n, err := k.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read: %d, %v", n, err)
	}
	_, err = k.Write([]byte("still here"))
	must(t, err)
	must(t, k.(interface{ CloseWrite() error }).CloseWrite())
	eventually(t, "the bytes arrive", func() bool { return fileHas(s.path("out"), "still here") })
}

func TestConnCloseUnblocks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.dial(t)
	k, err := c.Conn(t.Context(), Command{Script: `echo $$ >"$1"; exec sleep 60`, Argv: []string{s.path("pid")}}) // reads nothing, says nothing
	must(t, err)
	results := make(chan error, 2)
	go func() {
		_, err := k.Read(make([]byte, 1))
		results <- err
	}()
	go func() {
		_, err := io.Copy(k, endless{})
		results <- err
	}()
	eventually(t, "the command runs", func() bool { return fileHas(s.path("pid"), "\n") })
	time.Sleep(50 * time.Millisecond) // for the writer to fill the window; if it has not, the test is only easier
	start := time.Now()
	must(t, k.Close())
	for range 2 {
		if err := <-results; !errors.Is(err, net.ErrClosed) {
			t.Errorf("err = %v", err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %s", took)
	}
	_ = syscall.Kill(pidIn(t, s.path("pid")), syscall.SIGKILL)
}

func TestConnDeadlines(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	k, err := c.Conn(t.Context(), Command{Argv: []string{"cat"}})
	must(t, err)
	defer k.Close()
	must(t, k.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if _, err := k.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	must(t, k.SetDeadline(time.Time{}))
	_, err = k.Write([]byte("x"))
	must(t, err)
	if n, err := k.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
}

// The Engine's API is spoken over such connections: http.Transport's way with them has to work.
func TestConnUnderHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.dial(t)
	one := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.Conn(ctx, Command{Script: `while read -r l; do [ "$l" = "$(printf '\r')" ] && printf '%s' "$1"; done; exit 0`, Argv: []string{one}})
	}}
	client := &http.Client{Transport: tr}
	for range 3 {
		res, err := client.Get("http://docker/x")
		must(t, err)
		b, err := io.ReadAll(res.Body)
		if string(b) != "ok" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		must(t, res.Body.Close())
	}
	tr.CloseIdleConnections()
}

func TestConnsShareTheConnection(t *testing.T) {
	t.Parallel()
	c := newServer(t).dial(t)
	var wg sync.WaitGroup
	for i := range maxSessions {
		wg.Go(func() {
			k, err := c.Conn(t.Context(), Command{Argv: []string{"head", "-c", fmt.Sprint(1 << 20)}})
			if err != nil {
				t.Error(err)
				return
			}
			defer k.Close()
			go func() { _, _ = io.Copy(k, strings.NewReader(strings.Repeat(fmt.Sprint(i), 1<<20))) }()
			b, err := io.ReadAll(k)
			if err != nil || len(b) != 1<<20 || bytes.Count(b, b[:1]) != len(b) {
				t.Errorf("%d: %d bytes, %v", i, len(b), err)
			}
		})
	}
	wg.Wait()
}
