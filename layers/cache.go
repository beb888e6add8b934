package layers

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cache is a folder of layers, each under its diff ID in one encoding, and of image configs. Several processes may use
// it at once: files appear by rename and are never changed; what is in use is held open, so that whoever evicts it
// takes nothing away. Everything is verified when it is read.
//
//	DIR/<diff ID>.<blob digest>.<size>.<plain|gzip|zstd>
//	DIR/<config digest>.json
//	DIR/tmp/<random>/    files in the making; "lock" in it is locked as long as its process lives
//	DIR/lock             held while evicting
type cache struct {
	dir   string
	quota int64 // bytes
	tmp   string
	alive *os.File
}

func openCache(dir string, quota int64) (*cache, error) {
	if dir == "" {
		return nil, errors.New("no folder for it was given")
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, err
	}
	sweep(filepath.Join(dir, "tmp"))
	tmp, err := os.MkdirTemp(filepath.Join(dir, "tmp"), "")
	if err != nil {
		return nil, err
	}
	alive, err := os.OpenFile(filepath.Join(tmp, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := lockFile(alive, true); err != nil {
		return nil, errors.Join(err, alive.Close())
	}
	return &cache{dir: dir, quota: quota, tmp: tmp, alive: alive}, nil
}

func (c *cache) Close() error {
	return errors.Join(os.RemoveAll(c.tmp), c.alive.Close())
}

// sweep removes what killed processes left: folders whose lock is free. A folder that is too young to have its lock
// yet is left alone.
func sweep(tmp string) {
	dirs, _ := os.ReadDir(tmp) // nothing to clean up, then
	for _, d := range dirs {
		dir := filepath.Join(tmp, d.Name())
		info, err := d.Info()
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(dir)
			continue
		}
		if err != nil {
			continue
		}
		if dead, err := lockFile(f, false); dead && err == nil {
			_ = os.RemoveAll(dir) // if it stays, the next run tries again
		}
		_ = f.Close()
	}
}

// temp makes a file that is gone at the latest when the cache is closed.
func (c *cache) temp() (*os.File, error) { return os.CreateTemp(c.tmp, "") }

// layer finds d in one of the encodings, the first that is there; nil if there is none. The caller closes its file.
func (c *cache) layer(d DiffID, encodings ...Compression) *cachedLayer {
	for _, z := range encodings {
		names, _ := filepath.Glob(filepath.Join(c.dir, d.Hex()+".*."+suffix(z))) // the pattern is well-formed
		for _, name := range names {
			if l := c.openLayer(name, d, z); l != nil {
				return l
			}
		}
	}
	return nil
}

func (c *cache) openLayer(name string, d DiffID, z Compression) *cachedLayer {
	parts := strings.Split(filepath.Base(name), ".")
	if len(parts) != 4 {
		return nil
	}
	digest, err := ParseDigest("sha256:" + parts[1])
	if err != nil || z == Plain && digest != Digest(d) {
		return nil
	}
	size, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil // evicted this moment
	}
	info, err := f.Stat()
	if err != nil || info.Size() != size {
		_, _ = os.Remove(name), f.Close() // cut by a power loss: it is made again
		return nil
	}
	if now := time.Now(); !hasOtherNames(info) { // the times of a source's file are not ours
		_ = os.Chtimes(name, now, now) // at worst it is evicted too early
	}
	return &cachedLayer{blob: Blob{Digest: digest, Size: size, Compression: z}, name: name, file: f}
}

// keepStored keeps a checked blob of a source too: as another name of the source's file if that can be, else as a copy.
func (c *cache) keepStored(b *storedBlob, blob Blob, d DiffID) error {
	if blob.Size > c.quota {
		return nil // all else would have to go
	}
	if linked, err := c.link(b, c.nameOf(d, blob)); linked || err != nil {
		return err
	}
	l, err := c.create(nil)
	if err != nil {
		return err
	}
	defer func() { _ = l.read.Close() }() // only read
	if _, err := io.Copy(l, io.NewSectionReader(b, 0, blob.Size)); err != nil {
		return errors.Join(err, l.discard())
	}
	_, err = l.keep(d, blob.Compression)
	return err
}

// link tells whether it gave b's file that name in the cache.
func (c *cache) link(b *storedBlob, name string) (bool, error) {
	f, ok := b.ReaderAt.(*os.File)
	if !ok || b.path == "" {
		return false, nil
	}
	tmp := filepath.Join(c.tmp, filepath.Base(name))
	if err := os.Link(b.path, tmp); err != nil {
		return false, nil // another file system, or somebody else's file
	}
	opened, err := f.Stat()
	linked, err2 := os.Lstat(tmp)
	if err = errors.Join(err, err2); err == nil && os.SameFile(opened, linked) { // and not replaced since it was checked
		err = os.Rename(tmp, name)
		ok = err == nil
	} else {
		ok = false
	}
	_ = os.Remove(tmp) // also there after a rename to another name of the same file
	if ok {
		_ = c.evict()
	}
	return ok, err
}

// keeps tells whether the blob is in the cache.
func (c *cache) keeps(d DiffID, b Blob) bool {
	if b.Digest == "" {
		return false
	}
	_, err := os.Lstat(c.nameOf(d, b))
	return err == nil
}

// config returns the raw config of that digest, or nil.
func (c *cache) config(d Digest) []byte {
	name := filepath.Join(c.dir, d.Hex()+".json")
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	b, err := readMetadata(f, "cached config", d)
	_ = f.Close()
	if err != nil {
		_ = os.Remove(name)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now)
	return b
}

func (c *cache) addConfig(b []byte) error {
	f, err := c.temp()
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), filepath.Join(c.dir, DigestOf(b).Hex()+".json"))
}

// evict removes the files that were not used for longest until the rest fits into the quota.
func (c *cache) evict() error {
	lock, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // it holds nothing but the lock
	if got, err := lockFile(lock, false); !got || err != nil {
		return err // another process is at it
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && e.Name() != "lock" {
			files = append(files, info)
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if total <= c.quota {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, f.Name())); err == nil || errors.Is(err, fs.ErrNotExist) {
			total -= f.Size()
		}
	}
	return nil
}

func suffix(z Compression) string { return orElse(string(z), "plain") }
