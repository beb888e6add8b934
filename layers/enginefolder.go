package layers

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"ship/internal/event"
)

// maxSplit bounds the record from which a layer's tar is put together again, in compressed bytes.
const maxSplit = 1 << 30

// engineFolder reads an image from the folders of a graph driver's overlay2 through the engine, which may do so where
// we may not. As in overlayImage nothing is trusted that was not verified. It is safe for concurrent use.
type engineFolder struct {
	engine Engine
	root   string
	id     Digest
	cache  *cache // for temporary files
	emit   event.Func

	mu     sync.Mutex
	folder EngineFolder // nil = not opened
	err    error        // it cannot be opened
}

// refusedError: the engine does not give its folder.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// open opens the folder when first asked; whoever needs it has to wait for it anyway.
func (f *engineFolder) open(ctx context.Context) (EngineFolder, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.folder != nil || f.err != nil {
		return f.folder, f.err
	}
	folder, err := f.engine.Folder(ctx, string(f.id), f.root)
	if err != nil {
		err = &refusedError{err}
		if ctx.Err() == nil {
			f.err = err
		}
		return nil, err
	}
	f.folder = folder
	tell(f.emit, "reading single layers from the engine's folder through the engine, nothing is exported")
	return folder, nil
}

func (f *engineFolder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.folder == nil {
		return nil
	}
	folder := f.folder
	f.folder, f.err = nil, errors.New("closed")
	return folder.Close()
}

// walk hands the regular files below name to visit, with their path in there; "" is name itself.
func (f *engineFolder) walk(ctx context.Context, name string, visit func(name string, r io.Reader) error) error {
	folder, err := f.open(ctx)
	if err != nil {
		return err
	}
	r, err := folder.Open(ctx, name)
	if err != nil {
		return err
	}
	tr := tar.NewReader(bufio.NewReaderSize(r, 64<<10))
	for {
		var h *tar.Header
		if h, err = tr.Next(); err != nil {
			break
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err = visit(below(h.Name), tr); err != nil {
			break
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, r.Close())
}

// config reads the image's config.
func (f *engineFolder) config(ctx context.Context) (config []byte, err error) {
	name := path.Join("image/"+overlay2+"/imagedb/content/sha256", f.id.Hex())
	err = f.walk(ctx, name, func(_ string, r io.Reader) error {
		config, err = readMetadata(r, "config", f.id)
		return err
	})
	if err == nil && config == nil {
		err = fmt.Errorf("config %s is not a file", f.id.Short())
	}
	return config, err
}

// layer puts a layer together again as the tar it once was, to the bit. Its files are copied first, to disk.
func (f *engineFolder) layer(ctx context.Context, chain ChainID, d DiffID) (io.ReadCloser, error) {
	record, folder, err := f.record(ctx, chain, d)
	if err != nil {
		return nil, err
	}
	files, err := f.files(ctx, path.Join(overlay2, folder, "diff"))
	if err != nil {
		return nil, errors.Join(err, record.Close())
	}
	return openSplit(record, files, d)
}

// record reads what the engine noted of a layer: the record of its tar, and the name of its folder.
func (f *engineFolder) record(ctx context.Context, chain ChainID, d DiffID) (record io.ReadCloser, folder string, err error) {
	split, err := f.cache.temp()
	if err != nil {
		return nil, "", err
	}
	words := make(map[string]string)
	err = f.walk(ctx, path.Join("image/"+overlay2+"/layerdb/sha256", Digest(chain).Hex()), func(name string, r io.Reader) error {
		switch name {
		case "diff", "cache-id":
			b, err := io.ReadAll(io.LimitReader(r, maxWord))
			words[name] = strings.TrimSpace(string(b))
			return err
		case "tar-split.json.gz":
			_, err := io.Copy(split, io.LimitReader(r, maxSplit)) // what is cut off will not unpack
			return err
		}
		return nil
	})
	if err == nil {
		err = checkRecord(d, words["diff"], words["cache-id"])
	}
	if err == nil {
		_, err = split.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", errors.Join(err, split.Close(), os.Remove(split.Name()))
	}
	return removedFile{split}, words["cache-id"], nil
}

func (f *engineFolder) files(ctx context.Context, name string) (*tarFiles, error) {
	folder, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	r, err := folder.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	file, err := f.cache.temp()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	files, err := copyTarFiles(r, file, maxTarNames)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return files, nil
}

// removedFile goes from the disk when it is closed.
type removedFile struct{ *os.File }

func (f removedFile) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

// below is the path of an entry in the folder that was asked for, whose name is the first element of every entry's.
func below(name string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
	return rest
}
