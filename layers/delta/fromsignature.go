package delta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MakeFromSignature writes a patch like that of Make where the base is not at hand, only its signature. It finds headers
// of which nothing changed but size and time, files that are the same, and blocks of those that are not. h.BaseSize may
// be 0: the signature knows it. What is no signature is ErrSignature; one that belongs to another base, or a hash that
// two different blocks share, makes a patch that Apply refuses. new is read once. It takes 30 MB of memory and up to
// four times the size of the signature.
func MakeFromSignature(ctx context.Context, w io.Writer, h Header, sig io.Reader, new io.Reader) (Stats, error) {
	stats, err := makeFromSignature(ctx, w, h, sig, new)
	if err != nil {
		return Stats{}, fmt.Errorf("make patch: %w", err)
	}
	return stats, nil
}

func makeFromSignature(ctx context.Context, w io.Writer, h Header, sig io.Reader, new io.Reader) (Stats, error) {
	d, err := readSignature(sig)
	if err != nil {
		return Stats{}, err
	}
	if h.BaseSize == 0 {
		h.BaseSize = d.size
	}
	if h.BaseSize != d.size {
		return Stats{}, fmt.Errorf("%w: of a base of %d bytes, not %d", ErrSignature, d.size, h.BaseSize)
	}
	if err := h.check(); err != nil {
		return Stats{}, err
	}
	p, err := newPatchWriter(w, h, layout{}, layout{})
	if err != nil {
		return Stats{}, err
	}
	f := &finder{base: d, patch: p, parts: newPartReader(new)}
	for {
		if err := ctx.Err(); err != nil {
			return Stats{}, context.Cause(ctx)
		}
		part, err := f.parts.next()
		if errors.Is(err, io.EOF) {
			break
		}
		f.expected = head{}
		if err == nil && part.header != nil {
			err = f.header(part)
		}
		if err == nil {
			err = f.content(ctx, part.length)
		}
		if err != nil {
			return Stats{}, err
		}
	}
	if p.done != h.TargetSize {
		return Stats{}, fmt.Errorf("target of %d bytes, not %d: %w", p.done, h.TargetSize, io.ErrUnexpectedEOF)
	}
	return p.finish()
}

// finder finds the parts of a target in a base that is described.
type finder struct {
	base  *described
	patch *patchWriter
	parts *partReader
	buf   []byte
	// expected is the header in the base whose file the content is likely to be.
	expected head
}

// header finds a header, and tells what differs from the old one.
func (f *finder) header(p part) error {
	masked, ok := mask(p.header, p.size)
	key := headKey(masked)
	if at, same := f.base.exact[key]; same && !ok {
		return f.patch.clone(tarBlock, at)
	}
	old, known := f.base.heads[key]
	if !ok || !known {
		return f.patch.insert(p.header)
	}
	f.expected = old
	setHeader(masked, old.size, old.mtime[:])
	begin := samePrefix(masked, p.header)
	end := tarBlock - sameSuffix(masked[begin:], p.header[begin:])
	diffs := make([]byte, 0, tarBlock)
	for i := begin; i < end; i++ {
		diffs = append(diffs, p.header[i]-masked[i])
	}
	return errors.Join(
		f.patch.clone(int64(begin), old.at),
		f.patch.differ(diffs, old.at+int64(begin)),
		f.patch.clone(int64(tarBlock-end), old.at+int64(end)))
}

// content finds so many bytes, or what is left of the target.
func (f *finder) content(ctx context.Context, length int64) error {
	if f.buf == nil {
		f.buf = make([]byte, mostWhole)
	}
	carry := 0
	for left := length; left > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(f.parts.r, f.buf[carry:min(int64(len(f.buf)), int64(carry)+left)])
		left -= int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			left = 0
		} else if err != nil {
			return fmt.Errorf("target: %w", err)
		}
		b := f.buf[:carry+n]
		if int64(len(b)) == length {
			if at, same := f.whole(b); same {
				return f.patch.clone(length, at)
			}
		}
		used, err := f.scan(b, left == 0)
		if err != nil {
			return err
		}
		carry = copy(f.buf, b[used:])
	}
	return nil
}

// whole finds all of a small file: where the header makes it likely, else anywhere.
func (f *finder) whole(b []byte) (at int64, same bool) {
	key := binary.BigEndian.Uint64(digest(b, wholeBytes))
	if f.expected.whole == key && contentLength(f.expected.size) == int64(len(b)) {
		return f.expected.at + tarBlock, true
	}
	c, same := f.base.wholes[key]
	return c.at, same && c.length == int64(len(b))
}

// scan finds blocks in b. It returns how much of b is done: all, or, if b is not the last of its content, all but what
// may be the begin of a block.
func (f *finder) scan(b []byte, last bool) (used int, err error) {
	hashes := make([]uint64, len(f.base.blocks))
	fresh := true
	for pos := 0; ; {
		if last && pos == len(b) || !last && len(b)-pos < coarseBlock {
			return pos, f.patch.insert(b[used:pos])
		}
		n, at := 0, int64(0)
		for i, x := range f.base.blocks {
			if len(b)-pos < x.size {
				continue
			}
			if fresh || pos == 0 {
				hashes[i] = x.roll.sum(b[pos:])
			} else {
				hashes[i] = x.roll.next(hashes[i], b[pos-1], b[pos-1+x.size])
			}
			if found := x.find(hashes[i]); found >= 0 {
				at, _ = x.place(found)
				n = x.size + x.follow(found, b[pos:])
				break
			}
		}
		fresh = n > 0
		if n == 0 {
			pos++
			continue
		}
		if err := f.patch.insert(b[used:pos]); err != nil {
			return 0, err
		}
		if err := f.patch.clone(int64(n), at); err != nil {
			return 0, err
		}
		pos += n
		used = pos
	}
}
