package layers

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// fromExport looks through what `docker save` writes, as far as it needs to. Where names do not tell which layer it is,
// each is unpacked until its digest does.
func (p enginePlain) fromExport(ctx context.Context) (_ PlainLayer, err error) {
	r, err := p.engine.SaveImage(ctx, string(p.id))
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(p.tmp, "ship-layer-")
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	size, err := p.extract(f, &contextReader{ctx, r})
	if closed := r.Close(); err != nil {
		return nil, errors.Join(err, closed, removeTemp(f)) // a stream that is left early may close with an error
	}
	return &plainFile{f, size}, nil
}

// extract leaves the layer in f and returns its size.
func (p enginePlain) extract(f *os.File, r io.Reader) (int64, error) {
	tr := tar.NewReader(r)
	for range maxEntries {
		h, err := tr.Next()
		if err == io.EOF {
			return 0, ErrNotHeld
		}
		if err != nil {
			return 0, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		size, got, err := p.unpackEntry(f, h.Name, bufio.NewReaderSize(tr, 64<<10))
		if err != nil {
			return 0, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
		if got == p.layer {
			return size, nil
		}
	}
	return 0, fmt.Errorf("more than %d entries: not an image", maxEntries)
}

// unpackEntry unpacks an entry to f, if it may be the layer, and returns its diff ID.
func (p enginePlain) unpackEntry(f *os.File, name string, r *bufio.Reader) (size int64, d DiffID, err error) {
	isBlob := strings.HasPrefix(name, "blobs/sha256/")
	if path.Base(name) != "layer.tar" && !isBlob {
		return 0, "", nil
	}
	head, err := r.Peek(magicLen)
	if err != nil && err != io.EOF {
		return 0, "", err
	}
	z, err := sniff(head)
	if err != nil || isBlob && z == Plain && path.Base(name) != p.layer.Hex() {
		return 0, "", nil // a blob that is not compressed is called by its own digest: another layer, or metadata
	}
	if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
		return 0, "", err
	}
	plain, err := unpack(r, z)
	if err != nil {
		return 0, "", err
	}
	w := &hashingWriter{w: f, sum: sha256.New()}
	_, err = io.CopyBuffer(onlyWriter{w}, plain, make([]byte, stepBytes))
	return w.n, DiffID(sumOf(w.sum)), errors.Join(err, plain.Close())
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
