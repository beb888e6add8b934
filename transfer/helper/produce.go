package helper

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"ship/layers"
	"ship/transfer/chunk"
	"ship/transfer/engine"
	"ship/transfer/wire"
)

// produce makes a blob of a layer that this host's engine holds, chunk by chunk, and tells the controller the digests.
func (s *session) produce(ctx context.Context, p wire.Produce) error {
	b := s.blob(p.Blob)
	if b == nil {
		return s.control.SendJSON(wire.KindFailed, wire.Failed{ID: p.Blob, Error: "it is not open"})
	}
	b.own = true // what the controller announces comes from here
	s.tasks.Go(func() {
		if err := s.make(ctx, p, b); err != nil && ctx.Err() == nil {
			if err := s.failed(p.Blob, err); err != nil {
				s.stop(err)
			}
		}
	})
	return nil
}

func (s *session) make(ctx context.Context, p wire.Produce, b *blob) (err error) {
	cache := filepath.Join(s.work.dir, "cache")
	name, err := s.imageWith(ctx, p.DiffID)
	if err != nil {
		return err
	}
	src, err := layers.Open(ctx, layers.Ref{Transport: layers.TransportDaemon, Name: name}, engine.Source(s.engine), layers.OpenOptions{CacheDir: cache})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	img, err := src.Image(ctx, layers.Platform{})
	if err != nil {
		return err
	}
	spool, err := layers.OpenSpool(layers.SpoolOptions{Dir: cache})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	for i, l := range img.Layers {
		if string(l.DiffID) == p.DiffID {
			g, err := spool.Grow(ctx, img, i, layers.Accept{Zstd: p.Zstd})
			if err != nil {
				return err
			}
			defer func() { _ = g.Close() }() // it was read
			form := wire.Form{Blob: p.Blob, Zstd: g.Compression() == layers.Zstd}
			if err := s.control.SendJSON(wire.KindForm, form); err != nil {
				return err
			}
			return s.cut(ctx, p.Blob, g, b)
		}
	}
	return fmt.Errorf("image %.80s has no layer %s", name, layers.DiffID(p.DiffID).Short())
}

// imageWith finds an image of the engine that has the layer.
func (s *session) imageWith(ctx context.Context, diffID string) (string, error) {
	list, err := s.engine.ListImages(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range list {
		info, err := s.engine.InspectImage(ctx, m.ID)
		if err == nil && slices.Contains(info.DiffIDs, diffID) {
			return m.ID, nil
		}
	}
	return "", fmt.Errorf("no image has layer %s", layers.DiffID(diffID).Short())
}

// cut makes chunks of a blob as it grows.
func (s *session) cut(ctx context.Context, id uint32, g *layers.Growing, b *blob) error {
	buf := make([]byte, chunk.Size)
	all := sha256.New()
	for i := 0; ; i++ {
		off := int64(i) * chunk.Size
		have, whole, err := g.Wait(ctx, off+chunk.Size)
		if err != nil {
			return err
		}
		if whole && off >= have {
			if err := b.Finish(have); err != nil {
				return err
			}
			return s.control.SendFinish(wire.KindMade, wire.Finish{Blob: id, Size: have, Digest: [wire.SumSize]byte(all.Sum(nil))})
		}
		p := buf[:min(chunk.Size, have-off)]
		if _, err := g.ReadAt(p, off); err != nil && err != io.EOF {
			return err
		}
		all.Write(p)
		if err := s.made(id, b, i, p); err != nil {
			return err
		}
	}
}

func (s *session) made(id uint32, b *blob, i int, p []byte) error {
	sum := sha256.Sum256(p)
	if _, err := b.Announce(i, []chunk.Sum{sum}); err != nil {
		return err
	}
	s.node.Announced(id)
	if err := s.node.Put(id, i, p); err != nil {
		return err
	}
	return s.control.SendAnnounce(wire.KindProduced, wire.Announce{Blob: id, First: uint32(i), Sums: [][wire.SumSize]byte{sum}})
}
