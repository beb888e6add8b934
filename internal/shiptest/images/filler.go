package images

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path"
	"time"
)

// Layer is a layer of files made from its name. Layers of equal name and numbers are equal in all images, except for
// the Changed files.
type Layer struct {
	Name    string
	Size    int64 // of all files, in bytes
	Files   int   // how many; 0: one for each 64 KiB
	Changed int   // so many of them depend on the image's version
	Dated   bool  // the files' times depend on the image's version, as those of a new build do
	Dense   bool  // the bytes do not get smaller when they are compressed
}

// write gives the layer's tar: files opt/NAME/0000 and so on.
func (l Layer) write(w io.Writer, version string) error {
	files := int64(l.Files)
	if files <= 0 {
		files = max(1, l.Size>>16)
	}
	t := tar.NewWriter(w)
	for _, dir := range []string{"opt/", path.Join("opt", l.Name) + "/"} {
		if err := t.WriteHeader(header(dir, 0o755, 0)); err != nil {
			return err
		}
	}
	for n := range files {
		size := l.Size*(n+1)/files - l.Size*n/files
		seed := fmt.Sprint(l.Name, "/", n)
		if n < int64(l.Changed) {
			seed += "@" + version
		}
		h := header(fmt.Sprintf("opt/%s/%04d", l.Name, n), 0o644, size)
		if l.Dated {
			h.ModTime = h.ModTime.Add(time.Duration(crc32.ChecksumIEEE([]byte(version))) * time.Second / 1000)
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if l.Dense {
			_, err := io.CopyN(t, rand.NewChaCha8(sha256.Sum256([]byte(seed))), size)
			if err != nil {
				return err
			}
			continue
		}
		if err := writeFiller(t, seed, size); err != nil {
			return err
		}
	}
	return t.Close()
}

// header is that of a file, or of a folder where the name ends in a slash.
func header(name string, mode, size int64) *tar.Header {
	kind := byte(tar.TypeReg)
	if name[len(name)-1] == '/' {
		kind = tar.TypeDir
	}
	return &tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: size, ModTime: epoch().Time, Format: tar.FormatPAX}
}

// writeFiller writes bytes that follow from the seed alone and that gzip makes about three times smaller, as it does
// with programs and libraries: stretches seen before alternate with random ones.
func writeFiller(w io.Writer, seed string, size int64) error {
	r := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	var block [32 << 10]byte
	for size > 0 {
		for at := 0; at < len(block); {
			fresh := block[at:min(at+8, len(block))]
			_, _ = r.Read(fresh) // never fails
			at += len(fresh)
			if from := int(r.Uint64() % uint64(at)); at < len(block) {
				at += copy(block[at:min(at+24, len(block))], block[from:])
			}
		}
		n, err := w.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
