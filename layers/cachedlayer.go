package layers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// cachedLayer is a layer's file, held open.
type cachedLayer struct {
	blob    Blob
	name    string // of the file, unless it was evicted since
	file    *os.File
	damaged atomic.Bool // it was found to be, and removed
}

// stored gives random access; the layer is then the result's.
func (l *cachedLayer) stored() *storedBlob {
	return &storedBlob{ReaderAt: l.file, blob: l.blob, free: l.file.Close, spoil: l.spoil}
}

// open reads the layer, verified. A layer that turns out to be damaged is removed.
func (l *cachedLayer) open() io.ReadCloser {
	r := io.NopCloser(io.NewSectionReader(l.file, 0, l.blob.Size))
	return &cachedReader{ReadCloser: verify(r, l.blob.Digest, l.blob.Size), spoil: l.spoil}
}

// unpack reads what is inside, which is d.
func (l *cachedLayer) unpack(d DiffID) (io.ReadCloser, error) {
	r, err := unpack(l.open(), l.blob.Compression)
	if err != nil {
		l.spoil()
		return nil, errDamaged(err)
	}
	return &cachedReader{ReadCloser: verify(r, Digest(d), -1), spoil: l.spoil, inside: true}, nil
}

// spoil takes a damaged file out of the cache.
func (l *cachedLayer) spoil() {
	l.damaged.Store(true)
	_ = os.Remove(l.name) // else the next who reads it finds out, too
}

func errDamaged(err error) error {
	if errors.Is(err, ErrTryAgain) {
		return err
	}
	return fmt.Errorf("cached layer is damaged and was removed, %w: %w", ErrTryAgain, err)
}

// cachedReader removes a layer when it turns out to be damaged.
type cachedReader struct {
	io.ReadCloser
	spoil  func()
	inside bool // it is unpacked while it is read, so that every error tells of damage
}

func (r *cachedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	var bad *MismatchError
	if errors.As(err, &bad) || r.inside && err != nil && err != io.EOF {
		r.spoil()
		err = errDamaged(err)
	}
	return n, err
}
