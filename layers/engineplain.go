package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// EnginePlain returns layer d of an image that the engine of this machine holds, uncompressed, and how it is read:
//
//   - "overlay2": put together from the engine's folder wherever it is read, without a copy;
//   - "content store": the blob of a containerd store, unpacked to a temporary file;
//   - "engine's folder": as overlay2 for one who may not read there, through the engine, copied to a temporary file;
//   - "export": taken out of what `docker save` writes, copied to a temporary file.
//
// Temporary files lie in tmpDir until the layer is closed. The first way reads what is there now and does not verify
// it: whoever uses the bytes checks the digest of what becomes of them. The others are verified. ErrNotHeld means that
// the image has no such layer.
func EnginePlain(ctx context.Context, e Engine, imageRef string, d DiffID, tmpDir string) (l PlainLayer, how string, err error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("read layer %s: ask the engine: %w", d.Short(), err)
	}
	s, err := e.ImageID(ctx, imageRef)
	if err != nil {
		return nil, "", fmt.Errorf("read layer %s of %.200s: %w", d.Short(), imageRef, err)
	}
	id, err := ParseDigest(s)
	if err != nil {
		return nil, "", fmt.Errorf("read layer %s of %.200s: image ID: %w", d.Short(), imageRef, err)
	}
	p := enginePlain{engine: e, store: store, id: id, layer: d, tmp: tmpDir}
	var errs []error
	for _, way := range p.ways() {
		l, err := way.open(ctx)
		if err == nil {
			return l, way.name, nil
		}
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", way.name, err))
		if errors.Is(err, ErrNotHeld) {
			break // that is so whichever way is taken
		}
	}
	return nil, "", fmt.Errorf("read layer %s of %.200s: %w", d.Short(), imageRef, errors.Join(errs...))
}

// enginePlain is one layer that is looked for.
type enginePlain struct {
	engine Engine
	store  EngineStore
	id     Digest
	layer  DiffID
	tmp    string
}

type enginePlainWay struct {
	name string
	open func(ctx context.Context) (PlainLayer, error)
}

func (p enginePlain) ways() []enginePlainWay {
	export := enginePlainWay{"export", p.fromExport}
	switch {
	case p.store.Containerd:
		return []enginePlainWay{{"content store", p.fromContent}, export}
	case p.store.Driver == overlay2 && p.store.RootDir != "":
		return []enginePlainWay{{"overlay2", p.fromOverlay}, {"engine's folder", p.fromFolder}, export}
	}
	return []enginePlainWay{export}
}

// find returns the chain ID of the layer, by which a graph driver keeps it.
func (p enginePlain) find(config []byte) (ChainID, error) {
	c, err := parseConfig(config)
	if err != nil {
		return "", err
	}
	i := slices.Index(c.RootFS.DiffIDs, p.layer)
	if i < 0 {
		return "", ErrNotHeld
	}
	return Chain(c.RootFS.DiffIDs)[i], nil
}

func (p enginePlain) fromOverlay(context.Context) (PlainLayer, error) {
	meta := filepath.Join(p.store.RootDir, "image", p.store.Driver)
	config, err := readOverlayConfig(meta, p.id)
	if err != nil {
		return nil, err
	}
	chain, err := p.find(config)
	if err != nil {
		return nil, err
	}
	l, err := findOverlayLayer(p.store.RootDir, filepath.Join(meta, "layerdb", "sha256", Digest(chain).Hex()), p.layer)
	if err != nil {
		return nil, err
	}
	record, err := os.Open(l.split)
	if err != nil {
		return nil, err
	}
	defer func() { _ = record.Close() }() // only read
	root, err := os.OpenRoot(l.files)
	if err != nil {
		return nil, err
	}
	raw, err := os.CreateTemp(p.tmp, "ship-layer-")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	x, err := indexSplit(record, root, raw)
	if err != nil {
		return nil, err
	}
	return x, nil
}

func (p enginePlain) fromContent(ctx context.Context) (PlainLayer, error) {
	contents, err := p.engine.Contents(ctx)
	if err != nil {
		return nil, err
	}
	blobs, err := BlobsOf(ctx, contents, p.engine.ReadContent, []DiffID{p.layer})
	if err != nil {
		return nil, err
	}
	b, ok := blobs[p.layer]
	if !ok {
		return nil, errors.New("no blob of it")
	}
	r, err := p.engine.ReadContent(ctx, string(b.Digest))
	if err != nil {
		return nil, err
	}
	return p.unpack(ctx, r, b.Compression)
}

func (p enginePlain) fromFolder(ctx context.Context) (PlainLayer, error) {
	f := &engineFolder{engine: p.engine, root: p.store.RootDir, id: p.id, cache: &cache{tmp: p.tmp}}
	l, err := p.copyFrom(ctx, f)
	if closed := f.Close(); err == nil && closed != nil {
		return nil, errors.Join(closed, l.Close())
	}
	return l, err
}

func (p enginePlain) copyFrom(ctx context.Context, f *engineFolder) (PlainLayer, error) {
	config, err := f.config(ctx)
	if err != nil {
		return nil, err
	}
	chain, err := p.find(config)
	if err != nil {
		return nil, err
	}
	r, err := f.layer(ctx, chain, p.layer)
	if err != nil {
		return nil, err
	}
	return p.unpack(ctx, r, Plain)
}

// unpack unpacks r, which it closes, to a temporary file.
func (p enginePlain) unpack(ctx context.Context, r io.ReadCloser, z Compression) (PlainLayer, error) {
	f, err := os.CreateTemp(p.tmp, "ship-layer-")
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	n, err := unpackTo(f, &contextReader{ctx, r}, z, p.layer)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, errors.Join(err, removeTemp(f))
	}
	return &plainFile{f, n}, nil
}

// plainFile is a temporary file that holds a plain layer.
type plainFile struct {
	file *os.File
	size int64
}

func (f *plainFile) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }
func (f *plainFile) Close() error                            { return removeTemp(f.file) }
func (f *plainFile) Size() int64                             { return f.size }
