package layers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// storedBlob is a blob that is there already, with random access. Nothing of it is verified.
type storedBlob struct {
	io.ReaderAt
	blob  Blob         // Digest "" = not known
	free  func() error // nil = nothing to do
	spoil func()       // takes it out of the cache when it is damaged; nil = it is the source's
	path  string       // of a file that holds the blob and nothing else, in the source; "" = there is none
}

// errNoBytes: a blob has to be made first.
var errNoBytes = errors.New("not stored")

// find settles m with bytes that are there already, the source's own before the cache's. They are checked when
// somebody needs to know before reading all of them.
func (s *Spool) find(ctx context.Context, m *making, img *Image, i int, z Compression) error {
	l := img.Layers[i]
	var b *storedBlob
	if img.openAt != nil && img.local && l.Blob.Compression == z {
		var err error
		if b, err = img.openAt(ctx, i); err != nil {
			return err
		}
	}
	if b == nil {
		c := s.cache.layer(l.DiffID, z)
		if c == nil {
			return errNoBytes
		}
		b = c.stored()
	}
	m.start(b, b.free)
	keep := s.keep && b.spoil == nil && !s.cache.keeps(l.DiffID, b.blob)
	if keep {
		s.mu.Lock()
		m.eager = true
		s.mu.Unlock()
	}
	s.settle(ctx, m, b.blob, b.spoil, func(ctx context.Context, m *making) error {
		err := s.checkStored(ctx, m, b, l.DiffID, keep)
		if err != nil {
			return fmt.Errorf("read layer %s: %w", l.DiffID.Short(), err)
		}
		return nil
	})
	return nil
}

func (s *Spool) checkStored(ctx context.Context, m *making, b *storedBlob, d DiffID, keep bool) error {
	place := s.checks.enter()
	defer place.leave()
	if err := place.wait(ctx); err != nil {
		return err
	}
	blob, err := b.check(ctx, d, keep, m.advance)
	if err != nil {
		return err
	}
	if keep {
		_ = s.cache.keepStored(b, blob, d) // what it is for, a later delta, does without
	}
	m.change(func() { m.blob = blob })
	m.finish()
	return nil
}

// check reads the blob through, tells grown how far it is, and returns what it is called. What is inside is compared
// with d if inside says so, or if the blob had no name that could be.
func (b *storedBlob) check(ctx context.Context, d DiffID, inside bool, grown func(n int64)) (Blob, error) {
	blob := b.blob
	sum := &hashingWriter{w: io.Discard, sum: sha256.New(), wrote: grown}
	r := &contextReader{ctx, io.NewSectionReader(b, 0, blob.Size)}
	var err error
	if inside || blob.Digest == "" {
		_, err = copyInside(sum, r, blob.Compression, d)
	} else {
		_, err = io.CopyBuffer(sum, r, make([]byte, stepBytes))
	}
	if err != nil {
		if ctx.Err() == nil {
			err = b.damaged(err)
		}
		return Blob{}, err
	}
	got := sumOf(sum.sum)
	if sum.n != blob.Size || blob.Digest != "" && got != blob.Digest {
		return Blob{}, b.damaged(&MismatchError{Want: blob.Digest, Got: got, WantSize: blob.Size, GotSize: sum.n})
	}
	blob.Digest = got
	return blob, nil
}

// copyInside copies a blob, checks on the way that what is inside is d, and returns its size.
func copyInside(w io.Writer, r io.Reader, z Compression, d DiffID) (int64, error) {
	copied := io.TeeReader(r, w)
	n, err := unpackTo(io.Discard, bufio.NewReaderSize(copied, stepBytes), z, d)
	if err != nil {
		return 0, err
	}
	// Past the end of what was compressed there may be more.
	_, err = io.CopyBuffer(onlyWriter{io.Discard}, copied, make([]byte, stepBytes))
	return n, err
}

// damaged takes a bad file out of the cache.
func (b *storedBlob) damaged(err error) error {
	if b.spoil == nil {
		return err
	}
	b.spoil()
	return errDamaged(err)
}
