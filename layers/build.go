package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// BuildConfig is what a built image's config says. Fields left zero are left out.
type BuildConfig struct {
	Ref         string // what people call the image, e.g. "ship/proxy:v1"
	Platform    Platform
	Created     time.Time // zero = 1970, so that equal input gives equal images
	Entrypoint  []string
	Cmd         []string
	Env         []string // NAME=value
	Labels      map[string]string
	User        string
	WorkingDir  string
	StopSignal  string
	Healthcheck []string // as in Docker: {"CMD", ...}
}

// File of a built image. Folders above it are made with mode 0755 where no File names them.
type File struct {
	Path string      // slash-separated, absolute in the image
	Mode fs.FileMode // a regular file or fs.ModeDir; permissions, setuid, setgid and sticky count
	Size int64       // bytes that Open yields
	Open func() (io.ReadCloser, error)
}

// Build makes an image of one layer from files, FROM scratch. Equal input gives equal digests on every machine:
// owners are 0, times are 1970, entries are sorted. The files are read once now, for the diff ID, and again whenever
// the layer is opened; content that changed in between is an error then.
func Build(c BuildConfig, files []File) (Source, error) {
	segments, err := layerSegments(files)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	h := sha256.New()
	r := &segmentReader{segments: segments}
	size, err := io.Copy(h, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	d := DiffID(sumOf(h))
	config, err := builtConfig(c, d)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	img := &Image{Ref: c.Ref, Config: config, Platform: c.Platform, local: true,
		Layers: []Layer{{DiffID: d, Blob: Blob{Digest: Digest(d), Size: size}}}}
	img.open = func(context.Context, int) (io.ReadCloser, error) {
		return verify(&segmentReader{segments: segments}, Digest(d), size), nil
	}
	return single{img}, nil
}

// single is a Source of one image that needs no closing.
type single struct{ img *Image }

func (s single) Platforms() []Platform { return []Platform{s.img.Platform} }
func (s single) Close() error          { return nil }
func (s single) Image(_ context.Context, p Platform) (*Image, error) {
	if _, err := choosePlatform(s.Platforms(), p); err != nil {
		return nil, err
	}
	return s.img, nil
}

// Together is one source of the platforms of all, which must differ. Closing it closes them.
func Together(all ...Source) (Source, error) {
	var t together
	for _, s := range all {
		for _, p := range s.Platforms() {
			if slices.Contains(t.Platforms(), p) {
				return nil, fmt.Errorf("two images for %s", p)
			}
		}
		t = append(t, s)
	}
	return t, nil
}

type together []Source

func (t together) Platforms() (all []Platform) {
	for _, s := range t {
		all = append(all, s.Platforms()...)
	}
	return all
}

func (t together) Image(ctx context.Context, p Platform) (*Image, error) {
	all := t.Platforms()
	i, err := choosePlatform(all, p)
	if err != nil {
		return nil, err
	}
	p = all[i]
	for i >= len(t[0].Platforms()) {
		i, t = i-len(t[0].Platforms()), t[1:]
	}
	return t[0].Image(ctx, p)
}

func (t together) Close() error {
	var errs []error
	for _, s := range t {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func builtConfig(c BuildConfig, d DiffID) ([]byte, error) {
	type health struct {
		Test []string
	}
	type run struct {
		User        string            `json:",omitempty"`
		Env         []string          `json:",omitempty"`
		Entrypoint  []string          `json:",omitempty"`
		Cmd         []string          `json:",omitempty"`
		WorkingDir  string            `json:",omitempty"`
		Labels      map[string]string `json:",omitempty"`
		StopSignal  string            `json:",omitempty"`
		Healthcheck *health           `json:",omitempty"`
	}
	if c.Platform.OS == "" || c.Platform.Arch == "" {
		return nil, fmt.Errorf("platform %q is not complete", c.Platform)
	}
	created := c.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	stamp, err := created.UTC().MarshalJSON()
	if err != nil {
		return nil, err
	}
	r := run{User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir,
		Labels: c.Labels, StopSignal: c.StopSignal}
	if len(c.Healthcheck) > 0 {
		r.Healthcheck = &health{c.Healthcheck}
	}
	out := struct {
		imageConfig
		Config run `json:"config"` // hides the empty one
	}{Config: r}
	out.Created, out.OS, out.Architecture, out.Variant = stamp, c.Platform.OS, c.Platform.Arch, c.Platform.Variant
	out.RootFS.Type, out.RootFS.DiffIDs = "layers", []DiffID{d}
	out.History = []historyEntry{{Created: stamp, CreatedBy: "ship"}}
	return json.Marshal(out)
}

// segment is a piece of a layer's tar: bytes that are known, or a file.
type segment struct {
	raw  []byte
	file *File
}

// layerSegments lays the files out as a tar.
func layerSegments(files []File) ([]segment, error) {
	entries, err := withParents(files)
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, f := range entries {
		h, err := fileHeader(f)
		if err != nil {
			return nil, err
		}
		out = append(out, segment{raw: h})
		if f.Mode.IsDir() {
			continue
		}
		out = append(out, segment{file: &f}, segment{raw: make([]byte, -f.Size&511)})
	}
	return append(out, segment{raw: make([]byte, 1024)}), nil
}

// withParents cleans and sorts the files and adds the folders that none of them names; names come out relative.
func withParents(files []File) ([]File, error) {
	named := make(map[string]File)
	for _, f := range files {
		name := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if _, twice := named[name]; name == "" || twice {
			return nil, fmt.Errorf("file %q: named twice or empty", f.Path)
		}
		if f.Mode.Type()&^fs.ModeDir != 0 || f.Size < 0 {
			return nil, fmt.Errorf("file %q: neither a regular file nor a folder", f.Path)
		}
		f.Path = name
		named[name] = f
	}
	for _, f := range files {
		for dir := path.Dir(path.Clean("/" + f.Path)); dir != "/"; dir = path.Dir(dir) {
			up, ok := named[dir[1:]]
			if !ok {
				up = File{Path: dir[1:], Mode: fs.ModeDir | 0o755}
				named[up.Path] = up
			}
			if !up.Mode.IsDir() {
				return nil, fmt.Errorf("file %q: %q is not a folder", f.Path, dir)
			}
		}
	}
	out := make([]File, 0, len(named))
	for _, f := range named {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func fileHeader(f File) ([]byte, error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, ModTime: time.Unix(0, 0), Mode: int64(f.Mode.Perm())}
	for bit, mode := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if f.Mode&bit != 0 {
			h.Mode |= mode
		}
	}
	if f.Mode.IsDir() {
		h.Typeflag, h.Name, h.Size = tar.TypeDir, f.Path+"/", 0
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("file %q: %w", f.Path, err)
	}
	return b.Bytes(), nil
}

// segmentReader reads segments one after the other, with at most one file open.
type segmentReader struct {
	segments []segment
	at       int64 // bytes of the first segment that are through
	file     io.ReadCloser
}

func (r *segmentReader) Read(p []byte) (int, error) {
	for len(r.segments) > 0 {
		s := r.segments[0]
		if s.file == nil {
			if n := copy(p, s.raw[r.at:]); n > 0 || len(p) == 0 {
				r.at += int64(n)
				return n, nil
			}
			r.next()
			continue
		}
		n, err := r.readFile(s.file, p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

func (r *segmentReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// readFile reads on in f; at the end of f it goes to the next segment and returns 0, nil.
func (r *segmentReader) readFile(f *File, p []byte) (int, error) {
	if r.file == nil {
		file, err := f.Open()
		if err != nil {
			return 0, err
		}
		r.file = file
	}
	n, err := r.file.Read(p)
	if r.at += int64(n); r.at > f.Size || err == io.EOF && r.at < f.Size {
		return 0, fmt.Errorf("file %q: has changed: want %d bytes", f.Path, f.Size)
	}
	if err == io.EOF {
		if err = r.Close(); err == nil {
			r.next()
		}
	}
	return n, err
}

func (r *segmentReader) next() { r.segments, r.at = r.segments[1:], 0 }
