package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
)

// PlainLayer is the uncompressed tar of a layer with random access, as deltas are made from and applied to. It is safe
// for concurrent use until it is closed.
type PlainLayer interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// ErrNotHeld: a layer is not where it was looked for.
var ErrNotHeld = errors.New("layer is not held")

// Plain returns a layer that the cache holds in any encoding, unpacked and verified; else ErrNotHeld. Those who open
// the same layer share one copy, which goes from the disk with the last of them.
func (s *Spool) Plain(ctx context.Context, d DiffID) (PlainLayer, error) {
	c := s.cache.layer(d, Zstd, Gzip, Plain)
	if c == nil {
		return nil, fmt.Errorf("layer %s: %w", d.Short(), ErrNotHeld)
	}
	if err := c.file.Close(); err != nil { // it is only read
		return nil, err
	}
	p, _, err := s.plain(ctx, d, []plainWay{s.cachedWay(d)})
	return p, err
}

// PlainOf returns layer i of img, unpacked and verified, as Plain does. A source that is far away is read once for this
// and for Blob.
func (s *Spool) PlainOf(ctx context.Context, img *Image, i int) (PlainLayer, error) {
	l := img.Layers[i]
	if !img.local {
		if _, err := s.Blob(ctx, img, i, Accept{Zstd: true}); err != nil {
			return nil, err
		}
	}
	ways := []plainWay{s.storedWay(img, i), s.cachedWay(l.DiffID), s.sourceWay(img, i)}
	for {
		p, mine, err := s.plain(ctx, l.DiffID, ways)
		if err == nil || mine || ctx.Err() != nil {
			return p, err
		}
	}
}

// PlainSize is how many bytes layer i of img has unpacked. Where nobody knows it yet, the layer's blob is made and
// unpacked to be counted, once a run.
func (s *Spool) PlainSize(ctx context.Context, img *Image, i int) (int64, error) {
	l := img.Layers[i]
	if l.Blob.Compression == Plain && l.Blob.Size >= 0 {
		return l.Blob.Size, nil
	}
	b, err := s.Blob(ctx, img, i, Accept{Zstd: true}) // makes it known, unless the blob was there before
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	n, ok := s.sizes[l.DiffID]
	s.mu.Unlock()
	if ok {
		return n, nil
	}
	n, err = unpackTo(io.Discard, &contextReader{ctx, b.making.open()}, b.Compression, l.DiffID)
	if err != nil {
		return 0, fmt.Errorf("unpack layer %s: %w", l.DiffID.Short(), err)
	}
	s.unpacked(l.DiffID, n)
	return n, nil
}

// unpacked remembers the size of a layer.
func (s *Spool) unpacked(d DiffID, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[d] = size
}

// plainLayer is a share in a making that is whole.
type plainLayer struct {
	grown *Growing
	size  int64
}

func (p *plainLayer) ReadAt(b []byte, off int64) (int, error) { return p.grown.ReadAt(b, off) }
func (p *plainLayer) Close() error                            { return p.grown.Close() }
func (p *plainLayer) Size() int64                             { return p.size }

// plain unpacks a layer, or joins who is at it; mine tells which.
func (s *Spool) plain(ctx context.Context, d DiffID, ways []plainWay) (p PlainLayer, mine bool, err error) {
	m, err := s.join(ctx, blobKey{d, Plain}, false, func() job {
		mine = true
		return s.plainJob(d, ways)
	})
	if err != nil {
		return nil, true, err
	}
	g := s.grow(ctx, m)
	size, _, err := g.Wait(ctx, math.MaxInt64)
	if err != nil {
		return nil, mine, errors.Join(err, g.Close())
	}
	g.stop() // from here on it lives until it is closed
	return &plainLayer{g, size}, mine, nil
}

// plainWay gives a making the bytes of a plain layer, verified. ErrNotHeld = it has none.
type plainWay func(ctx context.Context, m *making) error

// plainJob goes one way after the other.
func (s *Spool) plainJob(d DiffID, ways []plainWay) job {
	place := s.makers.enter()
	return func(ctx context.Context, m *making) error {
		defer place.leave()
		err := place.wait(ctx)
		for _, way := range ways {
			if ctx.Err() != nil {
				break
			}
			if err = way(ctx, m); err == nil {
				m.finish()
				return nil
			}
			m.restart() // nobody was promised anything before the end
		}
		return fmt.Errorf("unpack layer %s: %w", d.Short(), err)
	}
}

// storedWay is for a source that keeps the layer unpacked, in a file.
func (s *Spool) storedWay(img *Image, i int) plainWay {
	return func(ctx context.Context, m *making) error {
		l := img.Layers[i]
		if img.openAt == nil || !img.local || l.Blob.Compression != Plain {
			return ErrNotHeld
		}
		b, err := img.openAt(ctx, i)
		if err != nil {
			return err
		}
		if b == nil || b.blob.Compression != Plain {
			return ErrNotHeld
		}
		m.start(b, b.free)
		blob, err := b.check(ctx, l.DiffID, false, nil)
		m.change(func() { m.blob = blob })
		return err
	}
}

func (s *Spool) cachedWay(d DiffID) plainWay {
	return func(ctx context.Context, m *making) error {
		c := s.cache.layer(d, Zstd, Gzip, Plain)
		if c == nil {
			return ErrNotHeld
		}
		r, err := c.unpack(d)
		if err == nil {
			err = s.unpackFile(ctx, m, r, Plain, d)
		}
		return errors.Join(err, c.file.Close())
	}
}

func (s *Spool) sourceWay(img *Image, i int) plainWay {
	l := img.Layers[i]
	once := func(ctx context.Context, m *making) error {
		r, err := s.reader(ctx, img, i)
		if err != nil {
			return err
		}
		return s.unpackFile(ctx, m, r, l.Blob.Compression, l.DiffID)
	}
	return func(ctx context.Context, m *making) error {
		err := once(ctx, m)
		if err != nil && ctx.Err() == nil && img.again != nil && img.again(err) {
			m.restart()
			err = once(ctx, m)
		}
		return err
	}
}

// unpackFile unpacks r, which it closes, to a temporary file of the cache.
func (s *Spool) unpackFile(ctx context.Context, m *making, r io.ReadCloser, z Compression, d DiffID) error {
	file, err := s.cache.temp()
	if err != nil {
		return errors.Join(err, r.Close())
	}
	m.start(file, func() error { return removeTemp(file) })
	size, err := unpackTo(file, &contextReader{ctx, r}, z, d)
	m.change(func() { m.blob = Blob{Digest: Digest(d), Size: size} })
	if err == nil {
		s.unpacked(d, size)
	}
	return errors.Join(err, r.Close())
}

// removeTemp closes a file and takes it from the disk, where its folder may be gone already.
func removeTemp(f *os.File) error {
	err := f.Close()
	if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
