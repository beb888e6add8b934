package layers

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	// maxEntries of an image archive: the largest image has 127 layers in three files each.
	maxEntries = 1 << 14
	// maxLinks are followed one after the other.
	maxLinks = 8
)

// tarFile is an archive on disk with random access to its entries.
type tarFile struct {
	file    *os.File
	entries map[string]tarEntry
	cache   *cache // holds file, if it had to be unpacked; else nil
}

// tarEntry is where an entry's bytes lie, or which other entry it stands for.
type tarEntry struct {
	offset, size int64
	link         string // "" = a file
}

// openTar reads the headers of an archive once. A compressed archive is unpacked into the cache folder first.
func openTar(ctx context.Context, name string, o OpenOptions) (*tarFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &tarFile{file: f}
	if err := a.unpack(ctx, o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if a.entries, err = indexTar(ctx, a.file); err != nil {
		return nil, errors.Join(fmt.Errorf("read archive: %w", err), a.Close())
	}
	return a, nil
}

func (a *tarFile) Close() error {
	err := a.file.Close()
	if a.cache != nil {
		err = errors.Join(err, a.cache.Close())
	}
	return err
}

// unpack replaces a compressed file by an unpacked copy.
func (a *tarFile) unpack(ctx context.Context, o OpenOptions) error {
	head := make([]byte, magicLen)
	n, err := a.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	z, err := sniff(head[:n])
	if err != nil || z == Plain {
		return err
	}
	if a.cache, err = openCache(o.CacheDir, o.Quota); err != nil {
		return fmt.Errorf("unpack archive: %w", err)
	}
	plain, err := a.cache.temp()
	if err != nil {
		return fmt.Errorf("unpack archive: %w", err)
	}
	packed := a.file
	a.file = plain
	r, err := unpack(bufio.NewReaderSize(&contextReader{ctx, packed}, 256<<10), z)
	if err == nil {
		_, err = io.CopyBuffer(onlyWriter{plain}, r, make([]byte, 256<<10))
		err = errors.Join(err, r.Close())
	}
	if err = errors.Join(err, packed.Close()); err != nil {
		return fmt.Errorf("unpack archive: %w", err)
	}
	return nil
}

// open reads an entry from its start.
func (a *tarFile) open(name string) (io.ReadCloser, int64, error) {
	e, err := resolve(a.entries, name)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(io.NewSectionReader(a.file, e.offset, e.size)), e.size, nil
}

// stored gives random access to an entry, which holds b.
func (a *tarFile) stored(name string, b Blob) (*storedBlob, error) {
	e, err := resolve(a.entries, name)
	if err != nil {
		return nil, err
	}
	return &storedBlob{ReaderAt: io.NewSectionReader(a.file, e.offset, e.size), blob: b}, nil
}

// metadata reads a JSON entry whole; want "" = its digest is not known.
func (a *tarFile) metadata(name string, want Digest) ([]byte, error) {
	r, size, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if size > maxMetadata {
		return nil, fmt.Errorf("read %q: larger than 16 MiB", name)
	}
	return readMetadata(r, fmt.Sprintf("%.200q", name), want)
}

// indexTar reads the headers of r. Whatever could make two readers of the archive see different images is an error.
func indexTar(ctx context.Context, r io.ReadSeeker) (map[string]tarEntry, error) {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out := make(map[string]tarEntry)
	tr := tar.NewReader(r) // it reads headers unbuffered and seeks over content
	for count := 0; ; count++ {
		h, err := tr.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if count >= maxEntries {
			return nil, fmt.Errorf("more than %d entries: not an image", maxEntries)
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := addEntry(out, h, at, end, r); err != nil {
			return nil, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
	}
}

func addEntry(out map[string]tarEntry, h *tar.Header, at, end int64, r io.ReadSeeker) error {
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	e := tarEntry{offset: at, size: h.Size}
	switch h.Typeflag {
	case tar.TypeReg:
		if isSparse(h) {
			return errors.New("is a sparse file")
		}
		if h.Size > end-at {
			return io.ErrUnexpectedEOF
		}
	case tar.TypeSymlink, tar.TypeLink:
		if e.link, err = linkTarget(h, name); err != nil {
			return err
		}
		e.offset, e.size = 0, 0
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	default:
		return errors.New("is neither a file, a folder nor a link")
	}
	old, twice := out[name]
	if twice && !sameEntry(r, old, e) {
		return errors.New("is there twice, with different content")
	}
	out[name] = e
	return nil
}

// entryName cleans the name of an entry and refuses what would lie outside of the archive.
func entryName(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New("leads out of the archive")
		}
	}
	if strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\\") || len(name) > 4096 {
		return "", errors.New("is not a relative path")
	}
	return path.Clean(name), nil
}

// linkTarget is the entry that a link stands for: a hard link names it from the root, a symbolic one from its folder.
func linkTarget(h *tar.Header, name string) (string, error) {
	target := path.Clean(h.Linkname)
	if h.Typeflag == tar.TypeSymlink {
		target = path.Join(path.Dir(name), h.Linkname)
	}
	if strings.HasPrefix(h.Linkname, "/") || target == ".." || strings.HasPrefix(target, "../") || target == name {
		return "", fmt.Errorf("is a link out of the archive, to %.200q", h.Linkname)
	}
	return target, nil
}

func isSparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// sameEntry compares what two entries of one name hold.
func sameEntry(r io.ReadSeeker, a, b tarEntry) bool {
	if a.link != b.link || a.size != b.size {
		return false
	}
	sum := func(e tarEntry) (Digest, error) {
		if _, err := r.Seek(e.offset, io.SeekStart); err != nil {
			return "", err
		}
		h := sha256.New()
		_, err := io.CopyN(h, r, e.size)
		return sumOf(h), err
	}
	x, err := sum(a)
	y, err2 := sum(b)
	return err == nil && err2 == nil && x == y
}

// resolve follows links inside the archive to a file. The error of a name that is not there is fs.ErrNotExist.
func resolve(entries map[string]tarEntry, name string) (tarEntry, error) {
	target, err := follow(entries, name)
	return entries[target], err
}

// follow returns the name of the file that name stands for.
func follow(entries map[string]tarEntry, name string) (string, error) {
	target, err := entryName(name)
	if err != nil {
		return "", fmt.Errorf("%.200q %w", name, err)
	}
	for range maxLinks {
		e, ok := entries[target]
		if !ok {
			return "", fmt.Errorf("%.200q is missing in the archive: %w", name, fs.ErrNotExist)
		}
		if e.link == "" {
			return target, nil
		}
		target = e.link
	}
	return "", fmt.Errorf("%.200q: too many links", name)
}

// contextReader fails once its ctx ends. It lives within one call.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
