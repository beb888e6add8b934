package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ship/internal/event"
)

// play is a short run on two hosts, with a bad moment.
func play(u *UI) {
	at := func(d time.Duration, e ...event.Event) {
		for _, e := range e {
			u.Emit(e)
		}
		time.Sleep(d)
	}
	send := func(host string, done int64) event.Event {
		return event.Event{Type: event.Progress, Host: host, Phase: "send", Done: done, Total: 40e6}
	}
	time.Sleep(flushEvery / 2) // so that nothing happens just when the ticker ticks
	at(500*time.Millisecond, event.Event{Type: event.Phase, Host: "web-1", Phase: "ask"}, event.Event{Type: event.Phase, Host: "web-2", Phase: "ask"})
	at(0, event.Event{Type: event.Message, Text: "2 of 7 layers are missing"})
	at(0, event.Event{Type: event.Phase, Host: "web-1", Phase: "send"}, event.Event{Type: event.Phase, Host: "web-2", Phase: "send"})
	for i := range int64(100) {
		at(100*time.Millisecond, send("web-1", i*4e5), send("web-2", i*1e5))
	}
	at(0, send("web-1", 40e6))
	at(0, event.Event{Type: event.Layer, Host: "web-1", Phase: "load", Item: "3f2a91c0de11", Text: "loaded", Total: 40e6})
	at(time.Second, event.Event{Type: event.Phase, Host: "web-1", Phase: "health", Item: "shop-web-1"})
	at(12*time.Second, event.Event{Type: event.Warning, Host: "web-2", Text: "no bytes for 10s\nconnecting again"})
	at(time.Second, send("web-2", 40e6))
	at(2*time.Second, event.Event{Type: event.Phase, Host: "web-2", Phase: "health"})
}

func TestPlain(t *testing.T) {
	const want = `web-1: ask
web-2: ask
2 of 7 layers are missing
web-1: send
web-2: send
web-1: send 4.0 MB of 40.0 MB (10%), 4.0 MB/s, 9s left
web-1: send 8.0 MB of 40.0 MB (20%), 4.0 MB/s, 8s left
web-1: send 12.0 MB of 40.0 MB (30%), 4.0 MB/s, 7s left
web-1: send 16.0 MB of 40.0 MB (40%), 4.0 MB/s, 6s left
web-2: send 4.0 MB of 40.0 MB (10%), 1.0 MB/s, 36s left
web-1: send 20.0 MB of 40.0 MB (50%), 4.0 MB/s, 5s left
web-1: send 24.0 MB of 40.0 MB (60%), 4.0 MB/s, 4s left
web-1: send 28.0 MB of 40.0 MB (70%), 4.0 MB/s, 3s left
web-1: send 32.0 MB of 40.0 MB (80%), 4.0 MB/s, 2s left
web-2: send 8.0 MB of 40.0 MB (20%), 1.0 MB/s, 32s left
web-1: send 36.0 MB of 40.0 MB (90%), 4.0 MB/s, 1s left
web-1: health shop-web-1
warning: web-2: no bytes for 10s
warning: web-2: connecting again
web-2: send 9.9 MB of 40.0 MB (24%), stalled 8s
web-2: send 40.0 MB of 40.0 MB (100%)
web-2: health
`
	var out, stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: Plain, Out: &out, Err: &stderr})
		play(u)
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	if stderr.String() != want || out.Len() > 0 {
		t.Errorf("got\n%s\nwant\n%s\non stdout: %s", stderr.String(), want, out.String())
	}
}

func TestPlainVerbose(t *testing.T) {
	var stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: Plain, Verbose: true, Err: &stderr})
		play(u)
		_ = u.Close() // a buffer does not fail
	})
	if !strings.Contains(stderr.String(), "web-1: layer 3f2a91c0de11 loaded (40.0 MB)\n") {
		t.Errorf("got\n%s", stderr.String())
	}
}

func TestJSON(t *testing.T) {
	const want = `{"v":1,"type":"phase","host":"web-1","phase":"ask","time":"2000-01-01T00:00:00.050Z"}
{"v":1,"type":"phase","host":"web-2","phase":"ask","time":"2000-01-01T00:00:00.050Z"}
{"v":1,"type":"message","text":"2 of 7 layers are missing","time":"2000-01-01T00:00:00.550Z"}
`
	var out, stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{JSON: true, Out: &out, Err: &stderr})
		play(u)
		u.Error(hintedError{errors.New("web-2: health: HTTP 500"), "ship logs --host web-2"})
		u.Result(map[string]any{"hosts": []string{"web-1", "web-2"}})
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	const last = `{"v":1,"type":"error","message":"web-2: health: HTTP 500","hint":"ship logs --host web-2"}
{"v":1,"type":"result","result":{"hosts":["web-1","web-2"]}}
`
	if !strings.HasSuffix(out.String(), last) {
		t.Errorf("got\n%s\nwant at the end\n%s", out.String(), last)
	}
	if got, want := stderr.String(), "web-2: health: HTTP 500\nhint: ship logs --host web-2\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
	lastDone := map[string]float64{}
	for l := range strings.Lines(out.String()) {
		var o map[string]any
		if err := json.Unmarshal([]byte(l), &o); err != nil || o["v"] != 1.0 || o["type"] == nil {
			t.Fatalf("%s: %v", l, err)
		}
		if o["type"] == "progress" {
			lastDone[o["host"].(string)], _ = o["done"].(float64)
		}
		if o["type"] == "phase" && o["phase"] == "health" && lastDone[o["host"].(string)] != 40e6 {
			t.Errorf("the last progress of %s did not come before its next phase", o["host"])
		}
	}
}

// TestJSONProgressIsThinned: a thousand events a second become one a second and host.
func TestJSONProgressIsThinned(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{JSON: true, Out: &out})
		for i := range int64(5000) {
			u.Emit(event.Event{Type: event.Progress, Host: "web-1", Phase: "send", Done: i, Total: 5000})
			time.Sleep(time.Millisecond)
		}
		_ = u.Close() // a buffer does not fail
	})
	n := strings.Count(out.String(), "\n")
	if n < 5 || n > 8 || !strings.Contains(out.String(), `"done":4999`) {
		t.Errorf("%d lines, want about 6, the last one with all that is done:\n%s", n, out.String())
	}
}

func TestTTY(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := newVT(t, 90)
		u := New(Options{Mode: TTY, Out: screen, Err: screen, Size: screen.size})
		done := make(chan struct{})
		go func() { defer close(done); play(u) }()
		time.Sleep(5600*time.Millisecond + time.Millisecond)
		synctest.Wait()
		const want = `2 of 7 layers are missing
web-1  send        20.0 MB / 40.0 MB    50%     4.0 MB/s   5s left
web-2  send         5.0 MB / 40.0 MB    12%     1.0 MB/s   35s left
total  send        25.0 MB / 80.0 MB    31%     5.0 MB/s   35s left
`
		if got := screen.text(); got != want || screen.cursorVisible {
			t.Errorf("got\n%s\nwant\n%s", screen.text(), want)
		}
		screen.resize(40)
		<-done
		u.Result(table{})
		u.Error(errors.New("web-2: health: HTTP 500"))
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		const end = `warning: web-2: no bytes for 10s
warning: web-2: connecting again
HOST    RELEASE
web-1   v1
web-2: health: HTTP 500
web-1  health    16s
web-2  health    2.0s
total  2 health
`
		if got := screen.text(); !strings.HasSuffix(got, end) || strings.Count(got, "total") != 1 || !screen.cursorVisible {
			t.Errorf("got\n%s\nwant at the end\n%s", got, end)
		}
		u.Error(errors.New("after the end"))
		u.Emit(event.Event{Type: event.Message, Text: "nobody sees this"})
		if got := screen.text(); !strings.HasSuffix(got, end+"after the end\n") {
			t.Errorf("got\n%s", got)
		}
	})
}

type table struct{}

func (table) WriteText(w io.Writer) error {
	return Table(w, [][]string{{"HOST", "RELEASE"}, {"web-1", "v1"}})
}

func TestNone(t *testing.T) {
	var out, stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: None, JSON: true, Out: &out, Err: &stderr})
		play(u)
		u.Result(1)
		_ = u.Close() // a buffer does not fail
	})
	if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), `"warning"`) || stderr.Len() > 0 {
		t.Errorf("got\n%s\n%s", out.String(), stderr.String())
	}
	out.Reset()
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: None, Out: &out, Err: &stderr})
		play(u)
		u.Result(1)
		_ = u.Close() // a buffer does not fail
	})
	if got := stderr.String(); out.Len() > 0 || got != "warning: web-2: no bytes for 10s\nwarning: web-2: connecting again\n" {
		t.Errorf("got\n%s\n%s", out.String(), got)
	}
}

func TestConcurrent(t *testing.T) {
	for _, o := range []Options{{Mode: TTY}, {Mode: Plain}, {JSON: true}} {
		var out, stderr bytes.Buffer
		o.Out, o.Err = &out, &stderr
		u := New(o)
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				host := fmt.Sprintf("web-%d", g%7)
				for i := range int64(200) {
					u.Emit(event.Event{Type: event.Phase, Host: host, Phase: []string{"send", "load"}[i%2]})
					u.Emit(event.Event{Type: event.Progress, Host: host, Phase: "send", Item: fmt.Sprint(i % 5), Done: i, Total: 200})
					u.Emit(event.Event{Type: event.Message, Host: host, Text: "x"})
				}
				u.Error(errors.New("x"))
			})
		}
		wg.Wait()
		if err := errors.Join(u.Close(), u.Close()); err != nil {
			t.Error(err)
		}
	}
}

// stuck is a screen that nobody reads until release is closed.
type stuck struct {
	bytes.Buffer
	release chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.release
	return s.Buffer.Write(b)
}

// TestStuckScreen: who emits does not wait, memory is bounded, and it is said that something is missing.
func TestStuckScreen(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		w := &stuck{release: make(chan struct{})}
		synctest.Test(t, func(t *testing.T) {
			w.release = make(chan struct{})
			u := New(Options{Mode: Plain, JSON: asJSON, Out: w, Err: w})
			start := time.Now()
			for range 1500 {
				u.Emit(event.Event{Type: event.Message, Text: strings.Repeat("x", 1000)})
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(start); took > 1600*time.Millisecond {
				t.Errorf("emitting took %s", took)
			}
			u.mu.Lock()
			if u.err.Len() > maxPending || u.out.Len() > maxPending {
				t.Errorf("%d and %d bytes wait", u.err.Len(), u.out.Len())
			}
			u.mu.Unlock()
			close(w.release)
			if err := u.Close(); err != nil {
				t.Error(err)
			}
		})
		if !strings.Contains(w.String(), "were left out") {
			t.Error("nothing says that lines were left out")
		}
	}
}

// broken is a pipe whose reader is gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBrokenStream(t *testing.T) {
	var out bytes.Buffer
	u := New(Options{Mode: Plain, JSON: true, Out: &out, Err: broken{}})
	u.Error(errors.New("x"))
	u.Result(1)
	if err := u.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if !strings.HasSuffix(out.String(), `{"v":1,"type":"result","result":1}`+"\n") {
		t.Errorf("the other stream did not go on: %s", out.String())
	}
}
