package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// workLimit is how long an engine may work on one load that it has, though it answers questions meanwhile; and
	// longer by what a slow disk takes for the load, at workRate plain bytes a second. Through a helper that is all of
	// the load: what is sent then are only the names of its layers.
	workLimit = 10 * time.Minute
	workRate  = 5e6

	// pieceSize is how many bytes are written at once: on a slow link each piece counts as progress.
	pieceSize = 32 << 10
)

// pulse tells a slow engine from a dead one. It limits silence, not duration: an engine shows life by taking bytes,
// and while it unpacks by answering a question.
type pulse struct {
	silence time.Duration
	ask     func(context.Context) error // any question

	mu      sync.Mutex
	writing time.Time // since when the current write waits; zero = nothing is being written
	working int       // loads that the engine has whole and has not answered
	owed    int64     // bytes of these loads, plain
	changed time.Time // when working changed last
}

// writeError is a write that failed on the engine's side, as opposed to bytes that could not be read.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// watched is a writer to the engine under a pulse.
type watched struct {
	*pulse
	w io.Writer
}

func (o watched) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), pieceSize)]
		o.setWriting(time.Now())
		m, err := o.w.Write(piece)
		o.setWriting(time.Time{})
		if n += m; err != nil {
			return n, writeError{err}
		}
		b = b[m:]
	}
	return n, nil
}

func (p *pulse) setWriting(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = t
}

// work says that the engine has n more (or fewer) loads to work on, of so many plain bytes; 0 = not known, or nothing to
// unpack.
func (p *pulse) work(n int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working += n
	p.owed += int64(n) * bytes
	p.changed = time.Now()
}

// watch returns a *StalledError when the engine is silent for too long, and nil when ctx ends.
func (p *pulse) watch(ctx context.Context) error {
	tick := time.NewTicker(p.silence / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.check(ctx); err != nil {
			return err
		}
	}
}

func (p *pulse) check(ctx context.Context) error {
	p.mu.Lock()
	writing, working, changed := p.writing, p.working, p.changed
	limit := workLimit + time.Duration(float64(p.owed)/workRate*float64(time.Second)).Round(time.Second)
	p.mu.Unlock()
	if writing.Before(changed) && !writing.IsZero() {
		writing = changed // until then it was excused
	}
	switch {
	case working == 0 && (writing.IsZero() || time.Since(writing) < p.silence*3/4): // the next look would be too late
		return nil
	case working == 0:
		return &StalledError{What: "took no byte", For: p.silence}
	case time.Since(changed) > limit:
		return &StalledError{What: "did not finish unpacking", For: limit}
	}
	// Unpacking, it may be too busy to take bytes of the next load: then its answer is what counts. An answer that
	// fails for other reasons than time is left to the load, which knows better.
	asking, cancel := context.WithTimeout(ctx, p.silence/2)
	defer cancel()
	err := p.ask(asking)
	if err != nil && errors.Is(asking.Err(), context.DeadlineExceeded) && ctx.Err() == nil && p.stillWorks(changed) {
		return &StalledError{What: "was unpacking and did not answer", For: p.silence}
	}
	return nil
}

// stillWorks: no load began or ended since changed.
func (p *pulse) stillWorks(changed time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.working > 0 && p.changed.Equal(changed)
}
