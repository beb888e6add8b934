package delta

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

const (
	// windowBytes is how much of the target is matched at a time.
	windowBytes = 4 << 20
	// matchers is how many windows are matched at once. Patches do not depend on it.
	matchers = 2
)

// Stats says what a patch is made of, in bytes.
type Stats struct {
	Copied, Added int64 // of the target, with packed parts unpacked: found in the base, and not
	Size          int64 // of the patch
}

// Make writes the patch that turns old into new, whose digests and sizes are h. Both are read at random, by several
// goroutines, and must not change. The same versions give the same patch. It takes two processors, 8 to 16 bytes
// of memory for each 32 bytes of the base (64 MB at most) and about 175 MB beside.
func Make(ctx context.Context, w io.Writer, h Header, old, new io.ReaderAt) (Stats, error) {
	if err := h.check(); err != nil {
		return Stats{}, fmt.Errorf("make patch: %w", err)
	}
	oldLayout, newLayout := pairPacked(old, h.BaseSize, new, h.TargetSize)
	oldPlain, err := newUnpackedReader(old, oldLayout)
	if err != nil {
		return Stats{}, fmt.Errorf("make patch: base: %w", err)
	}
	newPlain, err := newUnpackedReader(new, newLayout)
	if err != nil {
		return Stats{}, fmt.Errorf("make patch: target: %w", err)
	}
	x, err := newIndex(ctx, oldPlain, oldPlain.plainSize())
	if err != nil {
		return Stats{}, fmt.Errorf("make patch: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	var lanes [matchers]lane
	for i := range lanes {
		lanes[i] = lane{make(chan found, 1), make(chan found, 2)}
		m := &matcher{index: x, old: newPages(oldPlain, oldPlain.plainSize(), x.block)}
		g.Go(func() error { return m.windows(ctx, newPlain, newPlain.plainSize(), i, lanes[i]) })
	}
	var stats Stats
	g.Go(func() error {
		p, err := newPatchWriter(w, h, oldLayout, newLayout)
		if err == nil {
			stats, err = p.windows(ctx, lanes)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return Stats{}, fmt.Errorf("make patch: %w", err)
	}
	return stats, nil
}

// lane is how what a matcher found goes to the writer, and its memory back.
type lane struct{ full, empty chan found }

// windows matches every window whose turn it is, and closes the lane after the last.
func (m *matcher) windows(ctx context.Context, new io.ReaderAt, size int64, turn int, to lane) error {
	buf := make([]byte, min(windowBytes, size))
	for at := int64(turn) * windowBytes; at < size; at += matchers * windowBytes {
		window := buf[:min(windowBytes, size-at)]
		if err := readFull(new, window, at); err != nil {
			return fmt.Errorf("target: %w", err)
		}
		select {
		case m.out = <-to.empty:
		default:
			m.out = found{}
		}
		f, err := m.window(window, at)
		if err != nil {
			return fmt.Errorf("base: %w", err)
		}
		select {
		case to.full <- f:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	close(to.full)
	return nil
}

// windows writes what the matchers found, window by window.
func (p *patchWriter) windows(ctx context.Context, in [matchers]lane) (Stats, error) {
	for i := 0; ; i++ {
		select {
		case f, more := <-in[i%matchers].full:
			if !more {
				return p.finish()
			}
			if err := p.addWindow(f); err != nil {
				return Stats{}, err
			}
			select {
			case in[i%matchers].empty <- f:
			default:
			}
		case <-ctx.Done():
			return Stats{}, context.Cause(ctx)
		}
	}
}
