package delta

import (
	"fmt"
	"io"
)

// The columns of a patch.
const (
	opColumn = iota
	diffColumn
	literalColumn
)

// patchWriter writes a patch.
type patchWriter struct {
	segments *segmentWriter
	last     op // not in a segment yet: the next one may lengthen it
	stats    Stats
	done     int64 // bytes of the target that have operations
	shift    int64 // the displacement
}

func newPatchWriter(w io.Writer, h Header, old, new layout) (*patchWriter, error) {
	// Of a program whose parts have moved, operations and differences are most of the patch, and get a tenth smaller.
	// Literals gain less, and can be as much as the target.
	s, err := newSegmentWriter(w, opColumn, diffColumn)
	if err != nil {
		return nil, err
	}
	if err := s.write(new.encode(old.encode(h.encode()))); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return &patchWriter{segments: s}, nil
}

// addWindow adds operations whose displacement begins at 0.
func (p *patchWriter) addWindow(f found) error {
	shift := int64(0)
	for _, o := range f.ops {
		var err error
		switch o.kind {
		case move:
			shift += o.n
		case insert:
			err = p.insert(f.literals[:o.n])
			f.literals = f.literals[o.n:]
		case clone:
			err = p.clone(o.n, p.done+shift)
		case differ:
			err = p.differ(f.diffs[:o.n], p.done+shift)
			f.diffs = f.diffs[o.n:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *patchWriter) insert(literals []byte) error {
	p.stats.Added += int64(len(literals))
	return p.add(op{insert, int64(len(literals))}, literals)
}

// clone takes n bytes of the base at an offset.
func (p *patchWriter) clone(n, from int64) error {
	p.stats.Copied += n
	if err := p.move(from - p.done); err != nil {
		return err
	}
	return p.add(op{clone, n}, nil)
}

// differ takes bytes of the base at an offset, and adds diffs to them.
func (p *patchWriter) differ(diffs []byte, from int64) error {
	p.stats.Copied += int64(len(diffs))
	if err := p.move(from - p.done); err != nil {
		return err
	}
	return p.add(op{differ, int64(len(diffs))}, diffs)
}

func (p *patchWriter) move(shift int64) error {
	d := shift - p.shift
	p.shift = shift
	return p.add(op{move, d}, nil)
}

// add appends an operation and its bytes; bytes is nil for copy and move. What n is 0 does nothing.
func (p *patchWriter) add(o op, bytes []byte) error {
	raw, c := &p.segments.raw, literalColumn
	if o.kind == differ {
		c = diffColumn
	}
	for o.n != 0 {
		if raw.size()+2*maxOp >= maxSegment {
			if err := p.flush(); err != nil {
				return err
			}
		}
		step := o
		if bytes != nil {
			step.n = min(o.n, int64(maxSegment-raw.size()-2*maxOp))
			raw[c] = append(raw[c], bytes[:step.n]...)
			bytes = bytes[step.n:]
		}
		if p.last.kind != step.kind {
			p.settle()
			p.last.kind = step.kind
		}
		p.last.n += step.n
		if o.kind != move {
			p.done += step.n
		}
		o.n -= step.n
	}
	return nil
}

// settle ends the last operation.
func (p *patchWriter) settle() {
	if p.last.n != 0 {
		p.segments.raw[opColumn] = appendOp(p.segments.raw[opColumn], p.last)
	}
	p.last.n = 0
}

func (p *patchWriter) flush() error {
	p.settle()
	return p.segments.flush()
}

// finish ends the patch.
func (p *patchWriter) finish() (Stats, error) {
	p.settle()
	err := p.segments.finish()
	p.stats.Size = p.segments.size
	return p.stats, err
}
