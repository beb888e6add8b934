package chunk

import (
	"context"
	"fmt"
	"io"
)

// Reader reads the blob from its start and waits for chunks that are not there yet. io.EOF comes only after the last
// byte of a finished blob.
func (b *Blob) Reader(ctx context.Context) io.ReadCloser {
	ctx, stop := context.WithCancelCause(ctx)
	r := &reader{blob: b, stop: stop}
	r.ready = func(yes func() bool) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return b.until(ctx, yes)
	}
	return r
}

type reader struct {
	blob  *Blob
	ready func(func() bool) error
	stop  context.CancelCauseFunc
	off   int64
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, i := r.blob, int(r.off/Size)
	var left int64 // bytes that can be read of chunk i
	var whole, torn bool
	err := r.ready(func() bool {
		left = int64(i)*Size + int64(b.held(i)) - r.off
		whole = b.finished && r.off == b.size
		torn = b.held(i) > 0 && left == 0 && i+1 < len(b.sums)
		return left > 0 || whole || torn
	})
	switch {
	case err != nil:
		return 0, err
	case whole:
		return 0, io.EOF
	case torn:
		return 0, fmt.Errorf("chunk %d has %d bytes and is not the last", i, r.off%Size)
	}
	p = p[:min(int64(len(p)), left)]
	if err := b.readAt(p, r.off); err != nil {
		return 0, fmt.Errorf("read chunk %d: %w", i, err)
	}
	r.off += int64(len(p))
	return len(p), nil
}

// Close ends a Read that waits, too.
func (r *reader) Close() error {
	r.stop(io.ErrClosedPipe)
	return nil
}
