package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ship/internal/event"
)

// swarm is a push to three hosts: one gets its bytes from here, one from the first, and one of them goes dark.
func swarm(u *UI, seconds int) {
	time.Sleep(flushEvery / 2) // so that nothing happens just when the ticker ticks
	for i := range int64(3) {
		u.Emit(event.Event{Type: event.Phase, Host: fmt.Sprintf("web-%d", i+1), Phase: "send"})
	}
	send := func(host string, done int64) {
		u.Emit(event.Event{Type: event.Progress, Host: host, Phase: "send", Done: done, Total: 100e6})
	}
	for i := range int64(seconds * 10) {
		send("web-1", i*1e5)
		send("web-2", i*1e5)
		send("web-3", min(i, 50)*1e5)
		u.Emit(event.Event{Type: event.Total, Uplink: i * 1e5, Peers: (i + min(i, 50)) * 1e5, Saved: 90.1e6})
		time.Sleep(100 * time.Millisecond)
	}
}

func TestTotalOnATerminal(t *testing.T) {
	for columns, want := range map[int]string{
		100: `web-1  send        20.0 MB / 100.0 MB   20%     1.0 MB/s   1m20s left
web-2  send        20.0 MB / 100.0 MB   20%     1.0 MB/s   1m20s left
web-3  send         5.0 MB / 100.0 MB    5%   stalled 15s
total  send        45.0 MB / 300.0 MB   15%     2.0 MB/s
       uplink 20.0 MB, from peers 25.0 MB, saved by delta 90.1 MB
`,
		66: `web-1  send       20%     1.0 MB/s   1m20s left
web-2  send       20%     1.0 MB/s   1m20s left
web-3  send        5%   stalled 15s
total  send       15%     2.0 MB/s
     uplink 20.0 MB, from peers 25.0 MB, saved by delta 90.1 MB
`,
		40: `web-1  send       20%   1m20s left
web-2  send       20%   1m20s left
web-3  send        5%   stalled 15s
total  send       15%
uplink 20.0 MB, from peers 25.0 MB, sa…
`,
	} {
		synctest.Test(t, func(t *testing.T) {
			screen := newVT(t, columns)
			u := New(Options{Mode: TTY, Out: screen, Err: screen, Size: screen.size})
			go swarm(u, 21)
			time.Sleep(20150 * time.Millisecond)
			synctest.Wait()
			if got := screen.text(); got != want {
				t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
			}
			time.Sleep(time.Second)
			_ = u.Close() // a buffer does not fail
		})
	}
}

func TestTotalInPlainMode(t *testing.T) {
	var stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: Plain, Err: &stderr})
		swarm(u, 61)
		_ = u.Close() // a buffer does not fail
	})
	var total, third []string
	for l := range strings.Lines(stderr.String()) {
		switch {
		case strings.HasPrefix(l, "total:"):
			total = append(total, strings.TrimSpace(l))
		case strings.HasPrefix(l, "web-3: send "):
			third = append(third, strings.TrimSpace(l))
		}
	}
	if len(total) < 5 || len(total) > 8 ||
		total[1] != "total: send 45.0 MB of 300.0 MB (15%), 2.0 MB/s; uplink 20.0 MB, from peers 25.0 MB, saved by delta 90.1 MB" ||
		!strings.HasSuffix(total[len(total)-1], "uplink 60.9 MB, from peers 65.9 MB, saved by delta 90.1 MB") {
		t.Errorf("got\n%s", strings.Join(total, "\n"))
	}
	// What stands still is told of ever more seldom.
	var stalled []string
	for _, l := range third {
		stalled = append(stalled, l[strings.LastIndexByte(l, ' ')+1:])
	}
	if got := strings.Join(stalled, " "); got != "5s 15s 30s" {
		t.Errorf("got\n%s", strings.Join(third, "\n"))
	}
	if n := strings.Count(stderr.String(), "\n"); n > 40 {
		t.Errorf("%d lines", n)
	}
}

// TestPlainIsBounded: a hundred hosts do not make a hundred times as many lines.
func TestPlainIsBounded(t *testing.T) {
	var stderr bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{Mode: Plain, Err: &stderr})
		for i := range int64(600) {
			for host := range 100 {
				u.Emit(event.Event{Type: event.Progress, Host: fmt.Sprintf("web-%d", host), Phase: "send", Done: i, Total: 599})
			}
			time.Sleep(100 * time.Millisecond)
		}
		_ = u.Close() // a buffer does not fail
	})
	if n := strings.Count(stderr.String(), "\n"); n < 200 || n > 500 { // each in the middle, and at its end
		t.Errorf("%d lines:\n%s", n, stderr.String())
	}
	if n := strings.Count(stderr.String(), "(100%)"); n != 100 {
		t.Errorf("the end of %d hosts is told", n)
	}
}

func TestTotalInJSON(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		u := New(Options{JSON: true, Out: &out})
		swarm(u, 10)
		u.Result(1)
		_ = u.Close() // a buffer does not fail
	})
	var last event.Event
	totals := 0
	for l := range strings.Lines(out.String()) {
		var e event.Event
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == event.Total {
			totals++
			last = e
		}
	}
	if want := (event.Event{Type: event.Total, Uplink: 9.9e6, Peers: 14.9e6, Saved: 90.1e6}); last != want || totals < 9 || totals > 12 {
		t.Errorf("%d totals, the last %+v, want %+v", totals, last, want)
	}
	if !strings.Contains(out.String(), `{"v":1,"type":"total","uplink":9900000,"peers":14900000,"saved":90100000,"time":`) {
		t.Errorf("got\n%s", out.String())
	}
}

// TestTimeLeftIsSteady: bytes that come a chunk every few seconds make neither a stall nor a time that jumps.
func TestTimeLeftIsSteady(t *testing.T) {
	var b board
	at := time.Unix(1000, 0)
	const chunk, chunks, every = 1 << 20, 100, 3 * time.Second
	for d := time.Duration(0); d < 2*time.Minute; d += 100 * time.Millisecond {
		now, came := at.Add(d), int64(d/every)
		b.apply(event.Event{Type: event.Progress, Host: "a", Phase: "send", Done: came * chunk, Total: chunks * chunk}, now)
		lines := b.frame(now, 80, 24)
		if d < time.Minute {
			continue
		}
		left, ok := b.hosts["a"].rate.left(came*chunk, chunks*chunk)
		want := (chunks - time.Duration(came)) * every
		if !ok || left < want*85/100 || left > want*115/100 || strings.Contains(lines[0], "stalled") {
			t.Fatalf("after %s: %s left, want %s: %s", d, left, want, lines[0])
		}
	}
}

// TestStall: what stands still is called so only while bytes are to come.
func TestStall(t *testing.T) {
	at := time.Unix(1000, 0)
	send := func(done int64) event.Event {
		return event.Event{Type: event.Progress, Host: "a", Phase: "send", Done: done, Total: 100}
	}
	for _, c := range []struct {
		name  string
		last  event.Event // a second after the phase began
		after time.Duration
		want  string
	}{
		{"a moment", send(50), 5 * time.Second, ""},
		{"long", send(50), 12 * time.Second, "stalled 12s"},
		{"nothing yet", send(0), 11 * time.Second, "waiting 12s"},
		{"all there", send(100), time.Hour, ""},
		{"another phase", event.Event{Type: event.Phase, Host: "a", Phase: "load"}, time.Hour, ""},
	} {
		var b board
		b.apply(event.Event{Type: event.Phase, Host: "a", Phase: "send"}, at)
		b.apply(c.last, at.Add(time.Second))
		line := b.frame(at.Add(time.Second+c.after), 80, 24)[0]
		if c.want == "" && (strings.Contains(line, "stalled") || strings.Contains(line, "waiting")) || !strings.HasSuffix(line, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, line, c.want)
		}
	}
}
