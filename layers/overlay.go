package layers

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vbatts/tar-split/tar/storage"
)

// overlayImage reads an image from the folders of a graph driver's overlay2. Nothing there is trusted: a folder may
// belong to another engine, or to one that runs in another mount namespace. The config's digest is checked now, each
// layer's diff ID while it is read.
type overlayImage struct {
	config []byte
	layers []overlayLayer
}

type overlayLayer struct {
	diffID DiffID
	split  string // file: all of the layer's tar but the content of its files
	files  string // folder: the layer unpacked
	size   int64  // bytes in its files, as the engine recorded it; 0 = not known
}

// overlay2 is the graph driver whose folders we know.
const overlay2 = "overlay2"

// openOverlay finds the image with that config, if every layer of it looks readable.
func openOverlay(store EngineStore, id Digest) (*overlayImage, error) {
	if store.Driver != overlay2 || store.RootDir == "" {
		return nil, fmt.Errorf("graph driver %q", store.Driver)
	}
	meta := filepath.Join(store.RootDir, "image", store.Driver)
	config, err := readOverlayConfig(meta, id)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(config)
	if err != nil {
		return nil, err
	}
	o := &overlayImage{config: config}
	for i, chain := range Chain(c.RootFS.DiffIDs) {
		db := filepath.Join(meta, "layerdb", "sha256", Digest(chain).Hex())
		l, err := findOverlayLayer(store.RootDir, db, c.RootFS.DiffIDs[i])
		if err != nil {
			return nil, err
		}
		o.layers = append(o.layers, l)
	}
	return o, nil
}

// readOverlayConfig reads an image's config; meta is the folder of the driver's records.
func readOverlayConfig(meta string, id Digest) ([]byte, error) {
	f, err := os.Open(filepath.Join(meta, "imagedb", "content", "sha256", id.Hex()))
	if err != nil {
		return nil, err
	}
	config, err := readMetadata(f, "config", id)
	return config, errors.Join(err, f.Close())
}

func findOverlayLayer(root, db string, d DiffID) (overlayLayer, error) {
	diff, err := readWord(filepath.Join(db, "diff"))
	if err != nil {
		return overlayLayer{}, err
	}
	folder, err := readWord(filepath.Join(db, "cache-id"))
	if err != nil {
		return overlayLayer{}, err
	}
	if err := checkRecord(d, diff, folder); err != nil {
		return overlayLayer{}, err
	}
	l := overlayLayer{diffID: d, split: filepath.Join(db, "tar-split.json.gz"), files: filepath.Join(root, overlay2, folder, "diff")}
	if size, err := readWord(filepath.Join(db, "size")); err == nil {
		l.size, _ = strconv.ParseInt(size, 10, 64) // 0 if it is no number
		l.size = max(l.size, 0)
	}
	for _, name := range []string{l.split, l.files} {
		f, err := os.Open(name) // may we?
		if err != nil {
			return overlayLayer{}, err
		}
		_ = f.Close() // nothing was read
	}
	return l, nil
}

// checkRecord checks what the engine noted of a layer: its diff ID, and its folder's name.
func checkRecord(d DiffID, diff, folder string) error {
	if diff != string(d) || folder == "" || strings.Trim(folder, "0123456789abcdefghijklmnopqrstuvwxyz-") != "" {
		return fmt.Errorf("layer %s: the engine's records do not fit", d.Short())
	}
	return nil
}

// maxWord bounds the files of one short line, in bytes.
const maxWord = 256

// readWord reads a file of one short line.
func readWord(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxWord))
	return strings.TrimSpace(string(b)), errors.Join(err, f.Close())
}

// open puts layer i together again as the tar it once was, to the bit.
func (o *overlayImage) open(i int) (io.ReadCloser, error) {
	l := o.layers[i]
	root, err := os.OpenRoot(l.files)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(l.split)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return openSplit(f, rootFiles{root}, l.diffID)
}

// layerFiles is the content of a layer's files, by path.
type layerFiles interface {
	open(name string) (io.ReadCloser, error)
	io.Closer
}

// rootFiles keeps a symbolic link in the layer from leading us out of its folder.
type rootFiles struct{ *os.Root }

func (r rootFiles) open(name string) (io.ReadCloser, error) { return r.Open(name) }

// openSplit puts the layer together from a record and files, which it closes in any case.
func openSplit(record io.ReadCloser, files layerFiles, d DiffID) (io.ReadCloser, error) {
	z, err := gzip.NewReader(record)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tar-split: %w", err), record.Close(), files.Close())
	}
	r := &splitReader{entries: storage.NewJSONUnpacker(z), files: files, record: record}
	return overlayReader{verify(r, Digest(d), -1)}, nil
}

// overlayError: a layer's folder does not hold, or not yield, what the engine's records say.
type overlayError struct{ error }

func (e *overlayError) Unwrap() error { return e.error }

type overlayReader struct{ io.ReadCloser }

func (r overlayReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &overlayError{err}
	}
	return n, err
}

// splitReader reads the tar that tar-split took apart: raw pieces from its record, the content of
// files from where they are.
type splitReader struct {
	entries storage.Unpacker
	files   layerFiles
	record  io.Closer
	raw     []byte
	file    io.ReadCloser // nil = none is being read
	left    int64         // bytes of file
}

func (r *splitReader) Read(p []byte) (int, error) {
	for len(r.raw) == 0 && r.file == nil {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if r.file == nil {
		n := copy(p, r.raw)
		r.raw = r.raw[n:]
		return n, nil
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); r.left == 0 {
		err = r.file.Close()
		r.file = nil
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *splitReader) Close() error {
	var err error
	if r.file != nil {
		err = r.file.Close()
	}
	return errors.Join(err, r.record.Close(), r.files.Close())
}

// next goes to the next entry that has bytes; io.EOF is the end of the layer.
func (r *splitReader) next() error {
	e, err := r.entries.Next()
	if err != nil {
		return err
	}
	if e.Type == storage.SegmentType {
		r.raw = e.Payload
		return nil
	}
	if e.Type != storage.FileType || e.Size == 0 {
		return nil // a folder, a link or a device has its header only
	}
	name := strings.TrimPrefix(path.Clean("/"+e.GetName()), "/")
	f, err := r.files.open(name)
	if err != nil {
		return err
	}
	r.file, r.left = f, e.Size
	return nil
}
