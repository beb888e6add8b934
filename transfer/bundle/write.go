package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/internal/event"
	"ship/layers"
)

// makeAhead is how many layers are made ready at once, which is how many a spool makes at once.
const makeAhead = 2

// Bundle is a bundle that is ready to be written: all its blobs lie in a spool.
type Bundle struct {
	Header Header

	header []byte // as written
	layout layout
	open   []func(context.Context) (io.ReadCloser, error) // of the entries, by index
}

// Make gets ready what the plan includes. The bundle can be written until the spool or the image's source is closed.
func Make(ctx context.Context, p Plan, spool *layers.Spool, made time.Time) (*Bundle, error) {
	b := &Bundle{Header: Header{Version: bundleVersion, Image: p.Name, Made: made.UTC().Truncate(time.Second)}}
	if !p.Inventory.IsZero() {
		b.Header.Inventory = &p.Inventory
	}
	for _, part := range p.Parts {
		if err := b.addPlatform(ctx, part, spool); err != nil {
			return nil, err
		}
	}
	if err := b.addMetadata(p); err != nil {
		return nil, err
	}
	if err := b.Header.check(); err != nil {
		return nil, fmt.Errorf("make bundle: %w", err)
	}
	raw, err := json.MarshalIndent(b.Header, "", " ")
	if err != nil {
		return nil, fmt.Errorf("make bundle: %w", err)
	}
	b.header = append(raw, '\n')
	if len(b.header) > maxHeader {
		return nil, errors.New("make bundle: its header is larger than 16 MiB")
	}
	b.layout = newLayout(int64(len(b.header)), b.Header.Entries)
	return b, nil
}

// Size is how many bytes Write writes.
func (b *Bundle) Size() int64 { return b.layout.total }

func (b *Bundle) addPlatform(ctx context.Context, p PlatformPlan, spool *layers.Spool) error {
	img := p.Image
	blobs, err := spooled(ctx, p, spool)
	if err != nil {
		return err
	}
	info := PlatformInfo{Platform: Platform(img.Platform), Hosts: p.Hosts, Config: img.ConfigDigest()}
	b.add(blobName(info.Config), img.Config)
	for i, l := range img.Layers {
		li := LayerInfo{DiffID: l.DiffID}
		if p.Lacks != nil {
			li.LackedBy = p.Lacks[i]
		}
		if blob := blobs[l.DiffID]; blob != nil {
			li.Digest, li.Size, li.Compression = blob.Digest, blob.Size, string(blob.Compression)
			b.addEntry(Entry{blobName(blob.Digest), blob.Size, blob.Digest}, blob.Open)
		} else {
			li.LeftOut = "every " + info.Platform.String() + " host of the inventory holds it"
		}
		info.Layers = append(info.Layers, li)
	}
	b.Header.Platforms = append(b.Header.Platforms, info)
	return nil
}

// spooled makes the blobs of the layers that are included, by diff ID: an image may have a layer twice.
func spooled(ctx context.Context, p PlatformPlan, spool *layers.Spool) (map[layers.DiffID]*layers.SpooledBlob, error) {
	made := make([]*layers.SpooledBlob, len(p.Image.Layers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(makeAhead)
	for i := range p.Image.Layers {
		if !p.Includes(i) {
			continue
		}
		g.Go(func() (err error) {
			made[i], err = spool.Blob(ctx, p.Image, i, p.Accept)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	blobs := make(map[layers.DiffID]*layers.SpooledBlob)
	for i, l := range p.Image.Layers {
		if made[i] != nil {
			blobs[l.DiffID] = made[i]
		}
	}
	return blobs, nil
}

// addMetadata makes a bundle that leaves nothing out, and is for one platform, an archive for `docker load` as well.
// A partial one must not look like that: some engines take an image that lacks layers for whole.
func (b *Bundle) addMetadata(p Plan) error {
	if len(p.Parts) != 1 || b.Header.Partial() {
		return nil
	}
	a := layers.Archive{Config: p.Parts[0].Image.Config, Tag: p.Name}
	for _, l := range b.Header.Platforms[0].Layers {
		blob := layers.Blob{Digest: l.Digest, Size: l.Size, Compression: layers.Compression(l.Compression)}
		a.Layers = append(a.Layers, layers.ArchiveLayer{DiffID: l.DiffID, Blob: blob})
	}
	var all bytes.Buffer
	if err := a.WriteMetadata(&all); err != nil {
		return fmt.Errorf("make bundle: %w", err)
	}
	for r := tar.NewReader(&all); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("make bundle: %w", err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("make bundle: %w", err)
		}
		b.add(h.Name, data)
	}
}

// add adds an entry that is at hand, once.
func (b *Bundle) add(name string, data []byte) {
	b.addEntry(Entry{name, int64(len(data)), layers.DigestOf(data)}, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

func (b *Bundle) addEntry(e Entry, open func(context.Context) (io.ReadCloser, error)) {
	for _, old := range b.Header.Entries {
		if old.Name == e.Name {
			return
		}
	}
	b.Header.Entries, b.open = append(b.Header.Entries, e), append(b.open, open)
}

// Write writes the bundle. It may be called again after an error, for another writer.
func (b *Bundle) Write(ctx context.Context, w io.Writer, emit event.Func) error {
	tell := progress{emit: emit, event: event.Event{Type: event.Progress, Phase: "write", Total: b.Size()}}
	s := newSummer(&tracked{ctx, w, &tell})
	if err := writeEntry(s, headerName, int64(len(b.header)), bytes.NewReader(b.header)); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	for i, e := range b.Header.Entries {
		if err := b.writeBlob(ctx, s, i); err != nil {
			return fmt.Errorf("write bundle: %s: %w", b.Header.name(place{Entry: e}), err)
		}
	}
	if s.n != b.layout.sums {
		return fmt.Errorf("write bundle: %d bytes were written instead of %d", s.n, b.layout.sums)
	}
	all := s.finish()
	end, err := tail(newEnd(s.n, b.header, all), all)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if _, err := w.Write(end); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	tell.add(int64(len(end)))
	return nil
}

func (b *Bundle) writeBlob(ctx context.Context, w io.Writer, i int) error {
	r, err := b.open[i](ctx)
	if err != nil {
		return err
	}
	e := b.Header.Entries[i]
	return errors.Join(writeEntry(w, e.Name, e.Size, r), r.Close())
}

// writeEntry writes tar header, content and padding.
func writeEntry(w io.Writer, name string, size int64, r io.Reader) error {
	h, err := tarHeader(name, size)
	if err != nil {
		return err
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes instead of %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, padded(size)-size))
	return err
}

// onlyWriter and onlyReader hide other methods, so that io.CopyBuffer uses the buffer it is given.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
