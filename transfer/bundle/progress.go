package bundle

import (
	"context"
	"io"

	"ship/internal/event"
)

// tellEvery so many bytes there is a progress event.
const tellEvery = 4 << 20

// progress tells how far a file is written or read.
type progress struct {
	emit  event.Func
	event event.Event
	told  int64
}

func (p *progress) add(n int64) {
	p.event.Done += n
	if p.event.Done-p.told >= tellEvery || p.event.Done == p.event.Total {
		p.told = p.event.Done
		p.emit.Emit(p.event)
	}
}

// tracked counts what is written, and fails once ctx ends. It lives as long as one Write of a bundle, whose ctx it is.
type tracked struct {
	ctx  context.Context
	w    io.Writer
	tell *progress
}

func (t *tracked) Write(b []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	n, err := t.w.Write(b)
	t.tell.add(int64(n))
	return n, err
}
