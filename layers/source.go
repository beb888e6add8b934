package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"ship/internal/event"
)

// Engine is what reading an image from a Docker engine takes, the local one or that of a host.
type Engine interface {
	// Store says how the engine keeps images.
	Store(ctx context.Context) (EngineStore, error)
	// ImageID resolves a name: "sha256:..." of the config on a graph driver, of the manifest or index on a containerd
	// store. It never pulls.
	ImageID(ctx context.Context, ref string) (string, error)
	// Contents lists a containerd store. Only called on one.
	Contents(ctx context.Context) ([]Content, error)
	// ReadContent reads a blob of a containerd store from its start. Only called on one.
	ReadContent(ctx context.Context, digest string) (io.ReadCloser, error)
	// SaveImage streams what `docker save` writes. It fails in place of its end if the engine breaks off.
	SaveImage(ctx context.Context, ref string) (io.ReadCloser, error)
	// Folder opens a folder of the engine's machine, read with the engine's rights, in a way that takes one of its
	// images. An engine may refuse.
	Folder(ctx context.Context, image, dir string) (EngineFolder, error)
	// StepSizes returns the bytes in the files of every step of an image's history, the oldest first.
	StepSizes(ctx context.Context, ref string) ([]int64, error)
}

// EngineFolder is an open folder of the engine's machine.
type EngineFolder interface {
	// Open streams what is at path below the folder as a tar whose names begin with the last element of path. Until it
	// is closed others may wait.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Close leaves nothing of it behind, also after the context of Engine.Folder has ended.
	Close() error
}

// EngineStore is how an engine keeps images.
type EngineStore struct {
	Containerd bool   // the containerd image store, not a graph driver
	Driver     string // of the graph driver: "overlay2"
	RootDir    string // of the engine; perhaps on a file system that we do not see
}

// OpenOptions configure Open.
type OpenOptions struct {
	CacheDir string // for compressed archives, and layers that an engine had to export; may be that of a Spool
	Quota    int64  // bytes kept in CacheDir; 0 = DefaultQuota
	Emit     event.Func
}

// Open opens the source r names. Engine is needed for docker-daemon, and for ssh: that of the host then.
func Open(ctx context.Context, r Ref, e Engine, o OpenOptions) (Source, error) {
	if o.Quota == 0 {
		o.Quota = DefaultQuota
	}
	src, err := open(ctx, r, e, o)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	return src, nil
}

func open(ctx context.Context, r Ref, e Engine, o OpenOptions) (Source, error) {
	switch r.Transport {
	case TransportDaemon, TransportSSH:
		if e == nil {
			return nil, fmt.Errorf("%s: there is no engine", r)
		}
		return openDaemon(ctx, r, e, o)
	case TransportOCI:
		return openLayout(ctx, r, layoutDir(r.Path), nil)
	case TransportOCIArchive, TransportDockerArchive, TransportArchive:
		return openArchive(ctx, r, o)
	}
	return nil, fmt.Errorf("source %.40q is not known; known are %s", r.Transport, knownTransports)
}

// openArchive opens an archive as the kind that was named. A plain path is read as an OCI layout if it is one, since
// that can hold several platforms.
func openArchive(ctx context.Context, r Ref, o OpenOptions) (Source, error) {
	a, err := openTar(ctx, r.Path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Path, err)
	}
	_, oci := a.entries["index.json"]
	_, docker := a.entries["manifest.json"]
	var src Source
	switch {
	case oci && r.Transport != TransportDockerArchive:
		src, err = openLayout(ctx, r, layoutTar{a}, a)
	case docker && r.Transport != TransportOCIArchive:
		src, err = openDockerArchive(r, a)
	case docker:
		err = fmt.Errorf("%s has no index.json; write docker-archive:%s", r.Path, r.Path)
	case oci:
		err = fmt.Errorf("%s has no manifest.json; write oci-archive:%s", r.Path, r.Path)
	default:
		err = fmt.Errorf("%s is not an image archive: it has neither index.json nor manifest.json", r.Path)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return src, nil
}

// familiar is what people call an image; "" where name is not a whole name.
func familiar(name string) string {
	if !strings.ContainsAny(name, ":/") {
		return "" // only a tag
	}
	short, err := FamiliarRef(name)
	if err != nil {
		return ""
	}
	return short
}

// sameName compares two names in their full forms.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	x, err := NormalizeRef(a)
	y, err2 := NormalizeRef(b)
	return err == nil && err2 == nil && x == y
}
