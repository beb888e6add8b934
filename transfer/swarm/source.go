package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// Source is a blob in the making. ReadAt may be called by several goroutines.
type Source interface {
	// Wait returns once n bytes can be read, or all of them: have is how many there are, whole that there come no more.
	Wait(ctx context.Context, n int64) (have int64, whole bool, err error)
	ReadAt(p []byte, off int64) (int, error)
	Close() error
}

// Opener opens a source; it is called once for a blob, however many members want it.
type Opener func(ctx context.Context) (Source, error)

// cut reads a source to its end and announces its chunks.
func (s *Swarm) cut(ctx context.Context, b *blob, open Opener) {
	err := func() error {
		src, err := open(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		b.src = src
		s.mu.Unlock()
		buf := make([]byte, chunk.Size)
		all := sha256.New()
		for off := int64(0); ; off += chunk.Size {
			have, whole, err := src.Wait(ctx, off+chunk.Size)
			if err != nil {
				return err
			}
			if off >= have {
				if !whole {
					return errors.New("a source that is neither whole nor goes on")
				}
				s.finished(b, have, [wire.SumSize]byte(all.Sum(nil)))
				return nil
			}
			p := buf[:min(chunk.Size, have-off)]
			if err := readFull(src, p, off); err != nil {
				return err
			}
			all.Write(p)
			s.announce(b, int(off/chunk.Size), [][wire.SumSize]byte{sha256.Sum256(p)}, int64(len(p)))
		}
	}()
	if err != nil {
		s.failBlob(b, err)
	}
}

func readFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read at %d: %w", off, err)
}

// read returns a chunk, from the source here or from the member that makes the blob.
func (s *Swarm) read(ctx context.Context, b *blob, index int, buf []byte) ([]byte, error) {
	s.mu.Lock()
	src, maker := b.src, b.maker
	n := b.chunkSize(index)
	s.mu.Unlock()
	if maker != nil {
		return maker.readUp(ctx, b, index)
	}
	if src == nil || n < 0 {
		return nil, errors.New("its source is not open")
	}
	p := buf[:n]
	if err := readFull(src, p, int64(index)*chunk.Size); err != nil {
		return nil, err
	}
	return p, nil
}
