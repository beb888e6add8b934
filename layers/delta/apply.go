package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// applyStep is how many bytes of the target are made at a time.
const applyStep = 256 << 10

// Apply makes the target from the base, read at random, and the patch, read once from begin to end, and writes it to w.
// The result is hashed on the way: if it is not the target, that is a MismatchError before the last byte is written, and
// w must not believe what it has. A base that is seen at once to be another one is ErrMismatch too. A damaged patch is ErrPatch. Whatever a patch says, Apply takes less than 32 MB of
// memory and writes no more than Header.TargetSize bytes.
func Apply(ctx context.Context, w io.Writer, old io.ReaderAt, patch io.Reader) (Header, error) {
	h, err := ReadHeader(patch)
	if err != nil {
		return Header{}, err
	}
	r := bufio.NewReader(patch)
	oldLayout, err := readLayout(r, h.BaseSize)
	if err != nil {
		return h, err
	}
	newLayout, err := readLayout(r, h.TargetSize)
	if err != nil {
		return h, err
	}
	segments, err := newSegmentReader(r, ErrPatch)
	if err != nil {
		return h, err
	}
	defer segments.close()
	base, err := newUnpackedReader(old, oldLayout)
	if err != nil {
		return h, fmt.Errorf("%w: base: %w", ErrMismatch, err)
	}
	check := &checkedWriter{w: w, header: &h, sum: sha256.New()}
	a := &applier{
		old: &readAhead{r: base, size: base.plainSize()}, size: newLayout.plainSize(),
		w: &repacker{w: check, layout: newLayout}, made: make([]byte, 0, applyStep),
	}
	for {
		s, err := segments.next()
		if errors.Is(err, io.EOF) {
			if err = a.finish(); err == nil {
				err = check.finish()
			}
			return h, err
		}
		if err != nil {
			return h, err
		}
		if err := a.segment(ctx, s); err != nil {
			return h, err
		}
	}
}

// applier makes the target, unpacked.
type applier struct {
	old   *readAhead
	w     io.Writer
	size  int64  // of the target
	made  []byte // not written yet
	done  int64  // bytes of the target, those in made included
	shift int64  // the displacement
}

// segment runs all operations of a segment. They use up its columns exactly.
func (a *applier) segment(ctx context.Context, s *segment) error {
	ops, diffs, literals := s[opColumn], s[diffColumn], s[literalColumn]
	begin := a.done
	for len(ops) > 0 {
		var o op
		var err error
		if o, ops, err = readOp(ops); err != nil {
			return err
		}
		switch o.kind {
		case move:
			err = a.move(o.n)
		case clone:
			err = a.clone(ctx, o.n, nil)
		case differ:
			if o.n > int64(len(diffs)) {
				return fmt.Errorf("%w: differences of %d bytes, %d left", ErrPatch, o.n, len(diffs))
			}
			err = a.clone(ctx, o.n, diffs[:o.n])
			diffs = diffs[o.n:]
		case insert:
			if o.n > int64(len(literals)) {
				return fmt.Errorf("%w: literals of %d bytes, %d left", ErrPatch, o.n, len(literals))
			}
			err = a.insert(ctx, literals[:o.n])
			literals = literals[o.n:]
		}
		if err != nil {
			return err
		}
	}
	if len(diffs)+len(literals) > 0 || a.done == begin {
		return fmt.Errorf("%w: segment of %d bytes with %d to spare", ErrPatch, a.done-begin, len(diffs)+len(literals))
	}
	return nil
}

func (a *applier) move(n int64) error {
	a.shift += n
	if a.shift > maxSize || a.shift < -maxSize {
		return fmt.Errorf("%w: displacement of %d bytes", ErrPatch, a.shift)
	}
	return nil
}

// clone takes n bytes of the base and adds diffs to them, if there are any.
func (a *applier) clone(ctx context.Context, n int64, diffs []byte) error {
	from := a.done + a.shift
	if from < 0 || n > a.old.size-from {
		return fmt.Errorf("%w: copy of %d bytes at %d", ErrPatch, n, from)
	}
	for n > 0 {
		room, err := a.room(ctx, n)
		if err != nil {
			return err
		}
		if err := a.old.fill(room, a.done+a.shift); err != nil {
			return err
		}
		if diffs != nil {
			for i := range room {
				room[i] += diffs[i]
			}
			diffs = diffs[len(room):]
		}
		a.add(room)
		n -= int64(len(room))
	}
	return nil
}

func (a *applier) insert(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		room, err := a.room(ctx, int64(len(p)))
		if err != nil {
			return err
		}
		copy(room, p)
		a.add(room)
		p = p[len(room):]
	}
	return nil
}

// room returns where up to n bytes of the target go next.
func (a *applier) room(ctx context.Context, n int64) ([]byte, error) {
	if n > a.size-a.done {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPatch, a.size)
	}
	if len(a.made) == cap(a.made) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := a.flush(); err != nil {
			return nil, err
		}
	}
	free := a.made[len(a.made):cap(a.made)]
	return free[:min(int64(len(free)), n)], nil
}

// add takes what was put into a room.
func (a *applier) add(room []byte) {
	a.made = a.made[:len(a.made)+len(room)]
	a.done += int64(len(room))
}

func (a *applier) flush() error {
	_, err := a.w.Write(a.made)
	a.made = a.made[:0]
	return err
}

func (a *applier) finish() error {
	if a.done != a.size {
		return fmt.Errorf("%w: it gives %d bytes of %d", ErrPatch, a.done, a.size)
	}
	return a.flush()
}
