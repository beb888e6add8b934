package carried

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"ship/internal/shiptest/leak"
	"ship/transfer/place"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// check unpacks a helper and holds it against what is said of it.
func check(t *testing.T, b place.Binary) []byte {
	t.Helper()
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	gz, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != b.SHA256 || int64(len(text)) != b.Size {
		t.Errorf("%d bytes of %x, want %d of %s", len(text), sum, b.Size, b.SHA256)
	}
	if b.GzipSize != 0 && b.GzipSize != int64(len(gz)) {
		t.Errorf("a stream of %d bytes, want %d", len(gz), b.GzipSize)
	}
	return text
}

// What tells an ELF file for each architecture: its class, and the machine.
func machine(text []byte) string {
	switch {
	case !bytes.HasPrefix(text, []byte("\x7fELF\x02\x01")):
		return "no program"
	case text[18] == 62:
		return "amd64"
	case text[18] == 183:
		return "arm64"
	}
	return "another"
}

func TestAll(t *testing.T) {
	all, err := All(Helper)
	if err != nil {
		t.Fatal(err)
	}
	if all[runtime.GOARCH].SHA256 == "" {
		t.Errorf("no helper for this machine among %d", len(all))
	}
	for arch, b := range all {
		if got := machine(check(t, b)); got != arch {
			t.Errorf("the helper for %s is %s", arch, got)
		}
	}
	if _, err := For(Helper, "vax"); !errors.Is(err, ErrNone) {
		t.Errorf("another machine: %v, want ErrNone", err)
	}
}

func TestSelf(t *testing.T) {
	b, err := self(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	if got := machine(check(t, b)); got != runtime.GOARCH {
		t.Errorf("this program is %s", got)
	}
	r, err := b.Open() // closed before its end, its goroutine ends too
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestCarried(t *testing.T) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, err := z.Write([]byte("program"))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("program"))
	files := fstest.MapFS{
		"bin/proxy-arm64.gz": {Data: gz.Bytes()}, "bin/proxy-arm64.sum": {Data: []byte(hex.EncodeToString(sum[:]) + " 7\n")},
		"bin/proxy-one.gz": {}, "bin/proxy-one.sum": {Data: []byte("short 7\n")},
		"bin/proxy-two.gz": {}, "bin/proxy-two.sum": {Data: []byte(strings.Repeat("0", 64) + "\n")},
		"bin/proxy-three.sum": {Data: []byte(strings.Repeat("0", 64) + " 7\n")},
	}
	b, err := carried(files, Proxy, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if b.GzipSize != int64(gz.Len()) || string(check(t, b)) != "program" {
		t.Errorf("carried: %+v", b)
	}
	for _, arch := range []string{"one", "two"} {
		if _, err := carried(files, Proxy, arch); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want a complaint about its sum", arch, err)
		}
	}
	for _, arch := range []string{"three", "none"} {
		if _, err := carried(files, Proxy, arch); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", arch, err)
		}
	}
}
