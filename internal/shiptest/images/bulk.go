//go:build linux

package images

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"ship/internal/shiptest/lab"
)

// Bulk says what large image of real files to make: programs and libraries of Debian with Docker, the Go distribution
// with its thousands of small files, and a small app on top. It is for measuring, nothing in it is run.
type Bulk struct {
	Ref   string
	Step  BulkStep
	Quick bool      // a few layers only, a quarter of the size
	Cache string    // where the layers are kept; default as for [Site]
	Log   io.Writer // may be nil
}

// BulkStep is a change to the image since the first version, "".
type BulkStep string

// The steps of an image's life.
const (
	AppChanged  BulkStep = "app"  // the small layer on top
	DepsChanged BulkStep = "deps" // one file in a hundred of a layer of 150 MB
)

// MakeBulk makes the large image. The first call takes a minute; later ones use the cache.
func MakeBulk(ctx context.Context, b Bulk) (*Image, error) {
	dir := filepath.Join(CacheDir(b.Cache), "bulk")
	log := cmp.Or(b.Log, io.Writer(io.Discard))
	if err := lab.Install(ctx, log); err != nil {
		return nil, err
	}
	if err := lab.BuildEngine(ctx, "", bulkEngine, log); err != nil {
		return nil, err
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("bulk image: go env GOROOT: %w", err)
	}
	parts := bulkParts(lab.EngineDir(""), strings.TrimSpace(string(goroot)))
	if b.Quick {
		parts = slices.DeleteFunc(parts, func(p bulkPart) bool { return !p.quick })
	}
	var steps []step
	for _, p := range parts {
		layer, err := p.layer(dir, b.Step, log)
		if err != nil {
			return nil, fmt.Errorf("bulk image: %s: %w", p.name, err)
		}
		steps = append(steps, step{layer, "COPY " + p.name + " /"})
	}
	return assemble(b.Ref, runtime.GOARCH, steps, v1.Config{Entrypoint: []string{"/bin/true"}, WorkingDir: "/srv/app"})
}

const bulkEngine = "sid"

// bulkPart is a layer of the large image.
type bulkPart struct {
	name    string
	quick   bool     // part of the quick image too
	changes BulkStep // the step that changes it, if any
	one     uint32   // in how many of its files the step changes something
	root    string
	folders []string // below the root
	at      string
}

func bulkParts(engines, goroot string) []bulkPart {
	debian := filepath.Join(engines, bulkEngine)
	return []bulkPart{
		{name: "lib", root: debian, folders: []string{"usr/lib", "usr/libexec"}},
		{name: "share", root: debian, folders: []string{"usr/share"}, quick: true},
		{name: "bin", root: debian, folders: []string{"usr/bin"}},
		{name: "sbin", root: debian, folders: []string{"usr/sbin"}},
		{name: "tools", root: goroot, folders: []string{"bin", "pkg"}, at: "usr/local/go/"},
		{name: "etc", root: debian, folders: []string{"etc"}, quick: true},
		{name: "deps", root: goroot, folders: []string{"src", "api", "doc", "lib", "test"}, at: "usr/local/go/", changes: DepsChanged, one: 100, quick: true},
		{name: "app", root: filepath.Join(goroot, "src/net"), folders: []string{"http", "netip"}, at: "srv/app/", changes: AppChanged, one: 10, quick: true},
	}
}

// layer is the part's layer as it is after the step.
func (p bulkPart) layer(dir string, s BulkStep, log io.Writer) (*blob, error) {
	name, more := p.name, func(string) string { return "" }
	if s != "" && p.changes == s {
		name += "-changed"
		more = func(file string) string {
			h := fnv.New32a()
			_, _ = io.WriteString(h, file) // never fails
			if h.Sum32()%p.one != 0 {
				return ""
			}
			return "// " + string(s) + " changed\n"
		}
	}
	blobs, err := cached(dir, []string{name}, func() error {
		fmt.Fprintf(log, "making layer %s in %s\n", name, dir)
		_, err := writeBlob(blobPath(dir, name), gzip.DefaultCompression, func(w io.Writer) error {
			return writeTrees(w, tree{root: p.root, at: p.at, pick: p.pick, more: more})
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return blobs[0], nil
}

// pick takes what lies in the part's folders.
func (p bulkPart) pick(name string, _ fs.DirEntry) bool {
	top, _, _ := strings.Cut(name, string(os.PathSeparator))
	return slices.ContainsFunc(p.folders, func(f string) bool { return name == f || top == f || strings.HasPrefix(name, f+"/") })
}
