package layers

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"ship/internal/event"
)

// maxExportedMetadata bounds what is kept in memory of an export, in bytes.
const maxExportedMetadata = 32 << 20

// exported reads what `docker save` writes, once, as a stream: layers go into the cache, compressed, as they come by.
// Which of them are the image's only the end of the stream tells.
type exported struct {
	cache *cache
	emit  event.Func
	files map[DiffID]*cachedLayer // what was cached

	entries  map[string]tarEntry // for their links
	metadata map[string][]byte
	layers   map[string]DiffID
	kept     int // bytes of metadata
	done     int64
	told     int64
}

// read returns the config of the image that the stream holds, whose digest has to be id. Every layer of it is in
// x.files then.
func (x *exported) read(r io.Reader, id Digest) ([]byte, error) {
	x.entries = make(map[string]tarEntry)
	x.metadata = make(map[string][]byte)
	x.layers = make(map[string]DiffID)
	tr := tar.NewReader(&countedReader{r, x})
	for count := 0; ; count++ {
		h, err := tr.Next()
		if err == io.EOF {
			return x.image(id)
		}
		if err != nil {
			return nil, err
		}
		if count >= maxEntries {
			return nil, fmt.Errorf("more than %d entries: not an image", maxEntries)
		}
		if err := x.entry(h, tr); err != nil {
			return nil, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
	}
}

func (x *exported) entry(h *tar.Header, r io.Reader) error {
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	e := tarEntry{}
	switch h.Typeflag {
	case tar.TypeSymlink, tar.TypeLink:
		if e.link, err = linkTarget(h, name); err != nil {
			return err
		}
	case tar.TypeReg:
		if err := x.content(name, h.Size, bufio.NewReaderSize(r, 256<<10)); err != nil {
			return err
		}
	default:
		return nil
	}
	if _, twice := x.entries[name]; twice {
		return errors.New("is there twice")
	}
	x.entries[name] = e
	return nil
}

// content tells layers from metadata by name and first byte: blobs carry no other mark.
func (x *exported) content(name string, size int64, r *bufio.Reader) error {
	head, err := r.Peek(int(min(size, magicLen)))
	if err != nil {
		return err
	}
	isBlob := strings.HasPrefix(name, "blobs/sha256/")
	isJSON := size > 0 && (head[0] == '{' || head[0] == '[') && size <= maxMetadata
	if path.Base(name) != "layer.tar" && (!isBlob || isJSON) {
		return x.keep(name, r)
	}
	if d, err := ParseDiffID("sha256:" + path.Base(name)); err == nil && isBlob && x.cached(d) {
		x.layers[name] = d // its digest is checked against the config's; the bytes in the cache when they are read
		return nil
	}
	z, err := sniff(head)
	if err != nil {
		return err
	}
	return x.cacheLayer(name, r, z)
}

func (x *exported) keep(name string, r io.Reader) error {
	b, err := readMetadata(r, "metadata", "")
	if err != nil {
		return err
	}
	if x.kept += len(b); x.kept > maxExportedMetadata {
		return errors.New("too much metadata")
	}
	x.metadata[name] = b
	return nil
}

func (x *exported) cached(d DiffID) bool {
	if x.files[d] == nil {
		if f := x.cache.layer(d, Zstd); f != nil {
			x.files[d] = f
		}
	}
	return x.files[d] != nil
}

// cacheLayer keeps a layer as zstd, whatever it comes as.
func (x *exported) cacheLayer(name string, r io.Reader, z Compression) error {
	var d DiffID
	f, err := x.cache.add(Zstd, func(w io.Writer) (DiffID, error) {
		sum := sha256.New()
		err := repack(w, r, z, sum)
		d = DiffID(sumOf(sum))
		return d, err
	})
	if err != nil {
		return err
	}
	x.layers[name] = d
	if x.files[d] != nil {
		return f.file.Close() // it was there twice
	}
	x.files[d] = f
	return nil
}

// repack writes what is in r as zstd and adds it, plain, to sum.
func repack(w io.Writer, r io.Reader, from Compression, sum hash.Hash) error {
	plain, err := unpack(r, from)
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }() // frees a decoder; its errors came from Read
	packed, err := pack(w, Zstd)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(io.MultiWriter(packed, sum), plain, make([]byte, 256<<10))
	return errors.Join(err, packed.Close())
}

// image finds the image in what came by.
func (x *exported) image(id Digest) ([]byte, error) {
	var items []archiveItem
	if err := json.Unmarshal(x.metadata["manifest.json"], &items); err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	for _, item := range items {
		config, ok := x.metadata[item.Config]
		if !ok || DigestOf(config) != id {
			continue
		}
		c, err := parseConfig(config)
		if err != nil {
			return nil, err
		}
		if err := x.check(c.RootFS.DiffIDs, item.Layers); err != nil {
			return nil, err
		}
		return config, nil
	}
	return nil, fmt.Errorf("image %s is not in it", id.Short())
}

// check that the layers that came by are those of the config.
func (x *exported) check(want []DiffID, names []string) error {
	if len(names) != len(want) {
		return fmt.Errorf("manifest.json names %d layers, the config %d", len(names), len(want))
	}
	for i, name := range names {
		target, err := follow(x.entries, name)
		if err != nil {
			return err
		}
		if b, ok := x.metadata[target]; ok && x.layers[target] == "" {
			// A layer whose first file has a name like "[id].js" looked like metadata.
			if err := x.cacheLayer(target, bytes.NewReader(b), Plain); err != nil {
				return err
			}
		}
		if got := x.layers[target]; got != want[i] {
			return fmt.Errorf("layer %d: %w", i, &MismatchError{Want: Digest(want[i]), Got: Digest(got), WantSize: -1})
		}
	}
	return nil
}

// countedReader tells how much of the export came by.
type countedReader struct {
	r io.Reader
	x *exported
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	x := c.x
	if x.done += int64(n); x.done-x.told >= tellEvery {
		x.told = x.done
		x.emit.Emit(event.Event{Type: event.Progress, Phase: "read", Item: "export", Done: x.done})
	}
	return n, err
}
