package ui

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"ship/internal/event"
)

const (
	flushEvery    = 100 * time.Millisecond
	progressEvery = time.Second // JSON: of each host and phase
	maxPending    = 1 << 20     // bytes that wait for a slow reader; what comes then is counted, not kept
)

// UI shows what happens. All methods are safe for concurrent use.
type UI struct {
	settings
	verbose bool
	size    func() (int, int)

	mu       sync.Mutex // short: nobody writes to a screen under it
	board    board
	out, err pending
	progress []event.Event // JSON: the last of each host and phase, and of totals, not yet written
	told     time.Time     // when progress was written last
	closed   bool

	writing sync.Mutex // held while writing; after mu, never within it
	stdout  stream
	stderr  stream
	screen  screen

	quit, stopped chan struct{}
}

// stream is a writer that is left alone after its first error: the other one may still work.
type stream struct {
	io.Writer
	err error
}

func (s *stream) write(b []byte) {
	if len(b) == 0 || s.err != nil {
		return
	}
	if _, err := s.Write(b); err != nil {
		s.err = fmt.Errorf("write output: %w", err)
	}
}

// pending is text that waits to be written.
type pending struct {
	bytes.Buffer
	dropped int // lines
}

func (p *pending) add(text []byte) {
	if p.Len()+len(text) > maxPending {
		p.dropped++
		return
	}
	p.Write(text)
}

// New starts a UI. Close ends it.
func New(o Options) *UI {
	u := &UI{settings: o.settings(), verbose: o.Verbose, size: o.Size, stdout: stream{Writer: o.Out}, stderr: stream{Writer: o.Err},
		quit: make(chan struct{}), stopped: make(chan struct{})}
	if u.size == nil {
		u.size = func() (int, int) { return 80, 24 }
	}
	go u.run()
	return u
}

// Emit takes an event in. It never waits for a writer. After Close it does nothing.
func (u *UI) Emit(e event.Event) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	u.board.apply(e, now)
	if u.jsonEvents || u.asJSON && e.Type == event.Warning {
		u.emitJSON(e, now)
	}
	if u.human != None || !u.asJSON && e.Type == event.Warning {
		u.emitText(e)
	}
}

func (u *UI) emitText(e event.Event) {
	var all []string
	switch {
	case e.Type == event.Warning:
		for _, l := range textLines(e) {
			all = append(all, u.paint(yellow, "warning: "+l))
		}
	case e.Type == event.Message:
		all = textLines(e)
	case e.Type == event.Layer && u.verbose:
		all = []string{layerLine(e)}
	case e.Type == event.Phase && u.human == Plain:
		all = []string{phaseLine(e)}
	}
	for _, l := range all {
		u.err.add([]byte(l + "\n"))
	}
}

// emitJSON writes all but progress at once. Of progress and totals only the last counts; they go before what else is
// told.
func (u *UI) emitJSON(e event.Event, now time.Time) {
	counts := e.Type == event.Progress || e.Type == event.Total
	if counts {
		for i, p := range u.progress {
			if p.Type == e.Type && p.Host == e.Host && p.Phase == e.Phase && p.Item == e.Item {
				u.progress[i] = e
				return
			}
		}
		u.progress = append(u.progress, e)
		if len(u.progress) < maxItems {
			return
		}
	}
	u.flushProgress(now)
	if !counts {
		u.out.add(eventJSON(e, now))
	}
}

func (u *UI) flushProgress(now time.Time) {
	for _, e := range u.progress {
		u.out.add(eventJSON(e, now))
	}
	u.progress, u.told = nil, now
}

// Result tells what came of it all: with JSON as the last object; else by its own WriteText, if it has that method.
func (u *UI) Result(v any) {
	if u.asJSON {
		u.put(line(jsonResult{Version, "result", v}), nil)
		return
	}
	if t, ok := v.(interface{ WriteText(io.Writer) error }); ok {
		var b bytes.Buffer
		if err := t.WriteText(&b); err != nil {
			u.Error(err)
		}
		u.put(b.Bytes(), nil)
	}
}

// Error tells a person what went wrong and what to do: host, step, cause, hint. With JSON also as an object.
func (u *UI) Error(err error) {
	var out []byte
	if u.asJSON {
		for _, e := range each(err) {
			_, hint := message(e)
			out = append(out, line(jsonError{Version, "error", clip(e.Error()), clip(hint)})...)
		}
	}
	u.put(out, []byte(strings.Join(u.errorLines(err), "\n")+"\n"))
}

// put writes at once what must not be lost, after all that waits.
func (u *UI) put(out, err []byte) {
	u.mu.Lock()
	u.flushProgress(time.Now())
	if u.human == Plain {
		for _, l := range u.board.due(time.Now(), true) {
			u.err.add([]byte(l + "\n"))
		}
	}
	u.out.Write(out)
	u.err.Write(err)
	u.mu.Unlock()
	u.flush(time.Now())
}

// Close draws the last frame, gives the cursor back and waits until all is written. It returns the first error of a
// writer.
func (u *UI) Close() error {
	u.mu.Lock()
	again := u.closed
	u.closed = true
	u.mu.Unlock()
	if !again {
		close(u.quit)
	}
	<-u.stopped
	u.writing.Lock()
	defer u.writing.Unlock()
	return cmp.Or(u.stdout.err, u.stderr.err)
}

// run draws until Close.
func (u *UI) run() {
	defer close(u.stopped)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			u.tick(now)
			u.flush(now)
		case <-u.quit:
			u.tick(time.Now())
			u.flush(time.Now())
			return
		}
	}
}

// tick is for what is told by the clock: progress.
func (u *UI) tick(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.told) >= progressEvery || u.closed {
		u.flushProgress(now)
	}
	if u.human != Plain {
		return
	}
	for _, l := range u.board.due(now, u.closed) {
		u.err.add([]byte(l + "\n"))
	}
}

// flush writes what waits, and draws the frame anew.
func (u *UI) flush(now time.Time) {
	u.writing.Lock()
	defer u.writing.Unlock()
	columns, rows := u.size()
	out, text, frame, last := u.take(now, columns, rows)
	if u.human != TTY {
		u.stdout.write(out)
		u.stderr.write(text)
		return
	}
	if len(out) > 0 { // the result goes to the same screen by another way
		u.stderr.write(u.screen.erase(columns))
		u.stdout.write(out)
	}
	u.stderr.write(u.screen.draw(text, frame, columns, last))
}

// take is all that waits, the frame below it, and whether it is the last one.
func (u *UI) take(now time.Time, columns, rows int) (out, text []byte, frame []string, last bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	out = u.out.take(func(n int) []byte { return eventJSON(event.Event{Type: event.Warning, Text: slow(n)}, now) })
	text = u.err.take(func(n int) []byte { return []byte("warning: " + slow(n) + "\n") })
	if u.human == TTY {
		frame = u.board.frame(now, columns, rows)
	}
	return out, text, frame, u.closed
}

func slow(n int) string {
	return fmt.Sprintf("%d lines were left out, the reader of this output is too slow", n)
}

func (p *pending) take(note func(n int) []byte) []byte {
	if p.dropped > 0 {
		p.Write(note(p.dropped))
		p.dropped = 0
	}
	b := bytes.Clone(p.Bytes())
	p.Reset()
	return b
}
