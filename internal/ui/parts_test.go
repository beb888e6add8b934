package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"ship/internal/event"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 12_345_678: "12.3 MB", 999_949: "999.9 kB",
		999_950: "1.0 MB", -1500: "-1.5 kB", math.MaxInt64: "9.2 EB", math.MinInt64: "-9.2 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0 B/s", 1.5e6: "1.5 MB/s", -1: "- B/s", math.Inf(1): "- B/s"} {
		if got := Rate(f); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
	if got := Rate(math.NaN()); got != "- B/s" {
		t.Errorf("NaN: got %s", got)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.0s", 450 * time.Millisecond: "0.5s", 12 * time.Second: "12s",
		59*time.Second + 600*time.Millisecond: "1m00s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m", -time.Minute: "-1m00s"} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %s, want %s", int64(d), got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain äöü 漢字":                       "plain äöü 漢字",
		"\x1b[31mred\x1b[0m":                 "red",
		"\x1b]0;title\atext":                 "text",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;": "link",
		"a\rb\nc\td":                         "a b c d",
		"a\x00\x07\x7f\u009b31mb":            "a31mb",
		"a\u202eb\u2066c\u200bd\u2028e":      "abcde",
		"\xff\xfe":                           "\ufffd\ufffd",
		"::error::x":                         ": :error::x",
		"  ::add-mask::x":                    "  : :add-mask::x",
		"\x1b[0m::error::x":                  ": :error::x",
		"a ::error::":                        "a ::error::",
		"x ##[error]y":                       "x # #[error]y",
		"##vso[task.x]":                      "# #vso[task.x]",
		"###[error]":                         "## #[error]",
		strings.Repeat("x", maxLine+5):       strings.Repeat("x", maxLine) + "...",
		"\x1b[":                              "",
		"\x1b":                               "",
		"\x1b[12":                            "",
		"\x1b[1\nnext":                       " next",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"\x1b[31m::error::", "##[x", "\x1b]0;\a::x", "#\u202e#[", ":\u200b:x", "\u0085::x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, l := range append(lines(s), textLines(event.Event{Host: s, Text: s})...) {
			safe(t, l)
		}
		for _, b := range [][]byte{eventJSON(event.Event{Host: s, Text: s}, time.Time{}), line(jsonResult{1, "result", s})} {
			l := strings.TrimSuffix(string(b), "\n")
			safe(t, l)
			var o map[string]any
			if err := json.Unmarshal(b, &o); err != nil {
				t.Fatalf("%q: %v", b, err)
			}
			if r, ok := o["result"]; ok && r != strings.ToValidUTF8(s, "\ufffd") && strings.ToValidUTF8(s, "") == s {
				t.Fatalf("%q became %q", s, r)
			}
		}
	})
}

// safe: no terminal and no CI runner acts on this line.
func safe(t *testing.T, l string) {
	t.Helper()
	if strings.ContainsFunc(l, unicode.IsControl) || strings.ContainsFunc(l, func(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) {
		t.Fatalf("control characters in %q", l)
	}
	if strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[") || strings.Contains(l, "##vso[") {
		t.Fatalf("a workflow command in %q", l)
	}
}

// TestHostileText: what hosts say gets nowhere, in no mode.
func TestHostileText(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;x\a\r::error::pwned\n::add-mask::\n##[command]x\u202e\u009b"
	for _, o := range []Options{{Mode: Plain}, {Mode: TTY}, {JSON: true}, {Mode: Plain, Verbose: true}} {
		synctest.Test(t, func(t *testing.T) {
			var out, stderr strings.Builder
			o.Out, o.Err = &out, &stderr
			u := New(o)
			for _, typ := range []event.Type{event.Phase, event.Progress, event.Total, event.Layer, event.Message, event.Warning, "::x"} {
				u.Emit(event.Event{Type: typ, Host: evil, Phase: evil, Item: evil, Text: evil, Done: 1, Total: 2})
				u.Emit(event.Event{Type: typ, Text: evil})
				time.Sleep(time.Second)
			}
			u.Error(errors.New(evil))
			u.Error(hintedError{errors.New("x"), evil})
			u.Result(map[string]string{evil: evil})
			_ = u.Close() // a buffer does not fail
			text := out.String() + stderr.String()
			if o.Mode == TTY {
				text = csi.ReplaceAllString(strings.ReplaceAll(text, "\r\x1b", "\x1b"), "")
				for _, ours := range []string{clearLine, clearBelow, hideCursor, showCursor} {
					text = strings.ReplaceAll(text, ours, "")
				}
				for n := range 10 {
					text = strings.ReplaceAll(text, fmt.Sprintf(cursorUp, n), "")
				}
			}
			for l := range strings.Lines(text) {
				safe(t, strings.TrimSuffix(l, "\n"))
			}
		})
	}
}

type hintedError struct {
	error
	hint string
}

func (e hintedError) Hint() string { return e.hint }

func (e hintedError) Unwrap() error { return e.error }

type detailedError struct{ error }

func (detailedError) Detail() string {
	return "ship.yaml:3:5: unknown key\n   3 | x\nhint: did you mean y?\n"
}

func TestErrorLines(t *testing.T) {
	web3 := hintedError{errors.New("web-3: switch: target unhealthy after 30s"), "ship logs --host web-3"}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{errors.New("x"), []string{"x"}},
		{web3, []string{"web-3: switch: target unhealthy after 30s", "hint: ship logs --host web-3"}},
		{errors.Join(web3, errors.New("web-4: x")), []string{"web-3: switch: target unhealthy after 30s", "hint: ship logs --host web-3", "web-4: x"}},
		{fmt.Errorf("deploy: %w", web3), []string{"deploy: web-3: switch: target unhealthy after 30s", "hint: ship logs --host web-3"}},
		{detailedError{errors.New("x")}, []string{"ship.yaml:3:5: unknown key", "   3 | x", "hint: did you mean y?"}},
		{fmt.Errorf("%w and %w", errors.New("a"), errors.New("b")), []string{"a and b"}},
		{hintedError{web3, ""}, []string{"web-3: switch: target unhealthy after 30s", "hint: ship logs --host web-3"}},
		{fmt.Errorf("%w: %w", errors.New("stopped"), web3), []string{"stopped: web-3: switch: target unhealthy after 30s", "hint: ship logs --host web-3"}},
	} {
		if got := (settings{}).errorLines(c.err); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := (settings{color: true}).errorLines(errors.New("x")); got[0] != "\x1b[31mx\x1b[0m" {
		t.Errorf("in colour: %q", got)
	}
}

func TestSettings(t *testing.T) {
	type env = map[string]string
	for _, c := range []struct {
		name string
		o    Options
		env  env
		want settings
	}{
		{"terminal", Options{Terminal: true}, env{"TERM": "xterm"}, settings{human: TTY, color: true}},
		{"pipe", Options{}, nil, settings{human: Plain}},
		{"dumb", Options{Terminal: true}, env{"TERM": "dumb"}, settings{human: Plain}},
		{"CI with a terminal", Options{Terminal: true}, env{"CI": "true"}, settings{human: Plain, color: true}},
		{"NO_COLOR", Options{Terminal: true}, env{"NO_COLOR": "0"}, settings{human: TTY}},
		{"NO_COLOR empty", Options{Terminal: true}, env{"NO_COLOR": ""}, settings{human: TTY, color: true}},
		{"--color=always", Options{Color: ColorAlways}, env{"NO_COLOR": "1"}, settings{human: Plain, color: true}},
		{"--color=never", Options{Terminal: true, Color: ColorNever}, env{"CLICOLOR_FORCE": "1"}, settings{human: TTY}},
		{"CLICOLOR_FORCE", Options{}, env{"CLICOLOR_FORCE": "1"}, settings{human: Plain, color: true}},
		{"--json", Options{JSON: true, Terminal: true}, nil, settings{human: None, asJSON: true, jsonEvents: true, color: true}},
		{"--json --progress plain", Options{JSON: true, Mode: Plain}, nil, settings{human: Plain, asJSON: true, jsonEvents: true}},
		{"--json --progress none", Options{JSON: true, Mode: None}, nil, settings{human: None, asJSON: true}},
	} {
		c.o.Getenv = func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
		if got := c.o.settings(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestFlags(t *testing.T) {
	for in, want := range map[string]Mode{"auto": Auto, "tty": TTY, "plain": Plain, "none": None} {
		if m := Mode(-1); m.UnmarshalText([]byte(in)) != nil || m != want {
			t.Errorf("%s: got %d", in, m)
		}
	}
	for in, want := range map[string]Color{"auto": ColorAuto, "always": ColorAlways, "never": ColorNever} {
		if c := Color(-1); c.UnmarshalText([]byte(in)) != nil || c != want {
			t.Errorf("%s: got %d", in, c)
		}
	}
	if new(Mode).UnmarshalText([]byte("x")) == nil || new(Color).UnmarshalText([]byte("x")) == nil {
		t.Error("x was taken")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	err := Table(&b, [][]string{{"HOST", "RELEASE", "AGE"}, {"web-1", "v2", "3m05s"}, {"db\x1b[31m", "", "::x"}})
	const want = "HOST    RELEASE   AGE\nweb-1   v2        3m05s\ndb      -         ::x\n"
	if err != nil || b.String() != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestRate(t *testing.T) {
	var r rate
	at := time.Unix(0, 0)
	for i := range int64(100) {
		r.sample(i*100_000, at.Add(time.Duration(i)*100*time.Millisecond))
	}
	if math.Abs(r.value-1e6) > 1 {
		t.Errorf("steady 1 MB/s: got %v", r.value)
	}
	if left, ok := r.left(10e6, 40e6); !ok || left.Round(time.Second) != 30*time.Second {
		t.Errorf("30 MB at 1 MB/s: got %s, %v", left, ok)
	}
	for i := range int64(100) { // nothing comes any more
		r.sample(99*100_000, at.Add(10*time.Second+time.Duration(i)*100*time.Millisecond))
	}
	if r.value > 0.1e6 {
		t.Errorf("10 s after the last byte: got %v", r.value)
	}
	if _, ok := (&rate{}).left(0, 1); ok {
		t.Error("time left without a rate")
	}
}

// TestProgressByItems: items add up, unless the whole is told.
func TestProgressByItems(t *testing.T) {
	var b board
	e := event.Event{Type: event.Progress, Host: "a", Phase: "send"}
	for _, p := range []struct {
		item        string
		done, total int64
	}{{"x", 1, 10}, {"y", 2, 20}, {"x", 5, 10}} {
		e.Item, e.Done, e.Total = p.item, p.done, p.total
		b.apply(e, time.Time{})
	}
	if p := b.hosts["a"].now(); p.done != 7 || p.total != 30 {
		t.Errorf("got %+v", p)
	}
	e.Item, e.Done, e.Total = "", 100, 200
	b.apply(e, time.Time{})
	e.Item = "x"
	b.apply(e, time.Time{})
	if p := b.hosts["a"].now(); p.done != 100 || p.total != 200 {
		t.Errorf("got %+v", p)
	}
}

// TestFrameFits: whatever the number of hosts and the size of the terminal, the frame is smaller.
func TestFrameFits(t *testing.T) {
	now := time.Unix(1000, 0)
	var b board
	for i := range 50 {
		name := fmt.Sprintf("web-%d.%s", i, strings.Repeat("漢", i))
		b.apply(event.Event{Type: event.Phase, Host: name, Phase: "health"}, now.Add(time.Duration(i%10)*time.Second))
		b.apply(event.Event{Type: event.Progress, Host: name, Phase: "send", Done: 1, Total: math.MaxInt64}, now)
	}
	b.apply(event.Event{Type: event.Total, Uplink: math.MaxInt64, Peers: -1, Saved: math.MinInt64}, now)
	for _, size := range [][2]int{{200, 100}, {80, 24}, {40, 10}, {10, 5}, {1, 1}, {0, 0}} {
		frame := b.frame(now.Add(time.Minute), size[0], size[1])
		if len(frame) > max(2, size[1]-1) {
			t.Errorf("%v: %d lines", size, len(frame))
		}
		for _, l := range frame {
			if width(l) > max(1, size[0]-1) {
				t.Errorf("%v: line of %d columns: %s", size, width(l), l)
			}
		}
	}
	frame := strings.Join(b.frame(now.Add(time.Minute), 80, 10), "\n")
	if !strings.Contains(frame, "... and 45 more") || !strings.Contains(frame, "total") || !strings.Contains(frame, "web-9") {
		t.Errorf("got\n%s", frame)
	}
}
