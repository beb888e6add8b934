// Package carried has the programs that hosts are given, the helper and the proxy, for several architectures. `make build`
// puts them in, for Linux on amd64 and arm64: small ones, which do not change when nothing of theirs did. A program built by
// plain `go build` has none and offers itself, to hosts of its own architecture: it is both under their names.
package carried

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"ship/transfer/place"
)

// The programs.
const (
	Helper = "helper"
	Proxy  = "proxy"
)

// ErrNone is wrapped by the error of an architecture that a program is not there for.
var ErrNone = errors.New("not in this program")

// All are a program's builds at hand, by architecture as Go calls it.
func All(program string) (map[string]place.Binary, error) {
	all := make(map[string]place.Binary)
	for _, arch := range []string{"amd64", "arm64", runtime.GOARCH} {
		b, err := For(program, arch)
		if err != nil && !errors.Is(err, ErrNone) {
			return nil, err
		}
		if err == nil {
			all[arch] = b
		}
	}
	return all, nil
}

// For returns a program for Linux on an architecture: the one built for it, else this very program.
func For(program, arch string) (place.Binary, error) {
	b, err := carried(embedded(), program, arch)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = self(arch)
	}
	if err != nil {
		return place.Binary{}, fmt.Errorf("%s for %s: %w", program, arch, err)
	}
	return b, nil
}

// carried reads what `make build` put in: PROGRAM-ARCH.gz, and in PROGRAM-ARCH.sum the SHA-256 and the size of what is in
// it.
func carried(files fs.FS, program, arch string) (place.Binary, error) {
	path := "bin/" + program + "-" + arch
	sum, err := fs.ReadFile(files, path+".sum")
	if err != nil {
		return place.Binary{}, err
	}
	st, err := fs.Stat(files, path+".gz")
	if err != nil {
		return place.Binary{}, err
	}
	digest, size, _ := strings.Cut(strings.TrimSpace(string(sum)), " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if _, bad := hex.DecodeString(digest); err != nil || bad != nil || len(digest) != 2*sha256.Size {
		return place.Binary{}, fmt.Errorf("%q is not a digest and a size", sum)
	}
	return place.Binary{SHA256: digest, Size: n, GzipSize: st.Size(), Open: func() (io.ReadCloser, error) {
		return files.Open(path + ".gz")
	}}, nil
}

// self offers the running program, whose file may have been replaced since it was started.
func self(arch string) (place.Binary, error) {
	if runtime.GOOS != "linux" || arch != runtime.GOARCH {
		return place.Binary{}, ErrNone
	}
	const program = "/proc/self/exe"
	f, err := os.Open(program)
	if err != nil {
		return place.Binary{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return place.Binary{}, err
	}
	return place.Binary{SHA256: hex.EncodeToString(h.Sum(nil)), Size: n, Open: func() (io.ReadCloser, error) {
		f, err := os.Open(program)
		if err != nil {
			return nil, err
		}
		return zip(f), nil
	}}, nil
}

// zip is f as a gzip stream, made while it is read.
func zip(f io.ReadCloser) io.ReadCloser {
	r, w := io.Pipe()
	z := &zipping{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(z.done)
		gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err == nil {
			_, err = io.Copy(gz, f)
			err = errors.Join(err, gz.Close(), f.Close())
		}
		_ = w.CloseWithError(err) // never fails
	}()
	return z
}

// zipping ends its goroutine when it is closed.
type zipping struct {
	*io.PipeReader
	done chan struct{}
}

func (z *zipping) Close() error {
	err := z.PipeReader.Close()
	<-z.done
	return err
}
