package layers

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// newLayer is a layer's file in the making. What is written is buffered; grown is told how many bytes can be read.
type newLayer struct {
	*bufio.Writer
	cache *cache
	sum   *hashingWriter
	file  *os.File // for writing
	read  *os.File // the same, for reading from the first byte on; the caller's
}

// stepBytes is how much is written at once, so that whoever reads a layer in the making is this far behind at most.
const stepBytes = 256 << 10

// create begins a layer; keep or discard ends it.
func (c *cache) create(grown func(n int64)) (*newLayer, error) {
	f, err := c.temp()
	if err != nil {
		return nil, err
	}
	read, err := os.Open(f.Name()) // now, before it has a name that another process could evict
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	l := &newLayer{cache: c, file: f, read: read, sum: &hashingWriter{w: f, sum: sha256.New(), wrote: grown}}
	l.Writer = bufio.NewWriterSize(l.sum, stepBytes) // gzip writes in pieces of 240 bytes
	return l, nil
}

// keep gives the layer its name. Other layers may be evicted.
func (l *newLayer) keep(d DiffID, z Compression) (*cachedLayer, error) {
	if err := l.Flush(); err != nil {
		return nil, errors.Join(err, l.discard())
	}
	if err := l.file.Close(); err != nil {
		return nil, errors.Join(err, os.Remove(l.file.Name()))
	}
	blob := Blob{Digest: sumOf(l.sum.sum), Size: l.sum.n, Compression: z}
	name := l.cache.nameOf(d, blob)
	if err := os.Rename(l.file.Name(), name); err != nil {
		return nil, errors.Join(err, os.Remove(l.file.Name()))
	}
	_ = l.cache.evict() // a cache that stays too large is no reason to stop; the next layer tries again
	return &cachedLayer{blob: blob, name: name, file: l.read}, nil
}

func (l *newLayer) discard() error { return errors.Join(l.file.Close(), os.Remove(l.file.Name())) }

func (c *cache) nameOf(d DiffID, b Blob) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s.%s.%d.%s", d.Hex(), b.Digest.Hex(), b.Size, suffix(b.Compression)))
}

// add writes a layer: fill writes its encoded bytes; the diff ID may be known only when fill returns. The caller closes
// the layer's file.
func (c *cache) add(z Compression, fill func(io.Writer) (DiffID, error)) (*cachedLayer, error) {
	l, err := c.create(nil)
	if err != nil {
		return nil, err
	}
	d, err := fill(l)
	if err != nil {
		return nil, errors.Join(err, l.discard(), l.read.Close())
	}
	kept, err := l.keep(d, z)
	if err != nil {
		return nil, errors.Join(err, l.read.Close())
	}
	return kept, nil
}

type hashingWriter struct {
	w     io.Writer
	sum   hash.Hash
	n     int64
	wrote func(n int64) // told of all bytes so far; nil = nobody wants to know
}

func (h *hashingWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	if h.wrote != nil {
		h.wrote(h.n)
	}
	return n, err
}
