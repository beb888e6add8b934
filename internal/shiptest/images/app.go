package images

import (
	"archive/tar"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"ship/internal/shiptest/payload"
)

// Spec says what image of the test app to make: see package payload for what the app does.
type Spec struct {
	Ref     string   // its name and tag, "shop:v1"
	Version string   // what the app reports
	Arch    string   // a GOARCH to claim; the app inside is this machine's all the same, as nothing foreign can run; default: this machine's
	Env     []string // NAME=value, the app's habits
	Cmd     []string // arguments of the app: "worker"
	Check   bool     // with a HEALTHCHECK of its own
	Layers  []Layer  // below the app, bottom first
}

// App makes an image of the test app FROM scratch in the folder, which several images may share: filler layers, the
// app, a small layer with name and version, which no image of another name has.
func App(ctx context.Context, dir string, s Spec) (*Image, error) {
	s.Arch = cmp.Or(s.Arch, runtime.GOARCH)
	binary, err := payload.Build(ctx, dir, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	var steps []step
	add := func(by string, write func(io.Writer) error) error {
		b, err := writeTemp(dir, write)
		steps = append(steps, step{b, by})
		return err
	}
	for _, l := range s.Layers {
		if err := add("COPY "+l.Name+" /opt", func(w io.Writer) error { return l.write(w, s.Version) }); err != nil {
			return nil, err
		}
	}
	if err := add("COPY app /", func(w io.Writer) error { return writeBinary(w, binary) }); err != nil {
		return nil, err
	}
	err = add("COPY version /", func(w io.Writer) error {
		return writeFiles(w, file{"image", s.Ref + "\n"}, file{"version", s.Version + "\n"})
	})
	if err != nil {
		return nil, err
	}
	return assemble(s.Ref, s.Arch, steps, s.config())
}

func (s Spec) config() v1.Config {
	c := v1.Config{
		Entrypoint: []string{"/app"}, Cmd: s.Cmd, WorkingDir: "/",
		Env:          append([]string{"PATH=/"}, s.Env...),
		ExposedPorts: map[string]struct{}{"3000/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.version": s.Version},
	}
	if s.Check {
		c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "/app", "check"}, Interval: 1e9, Timeout: 5e9, Retries: 3}
	}
	return c
}

// writeTemp makes a layer in the folder under a name of its own.
func writeTemp(dir string, write func(io.Writer) error) (*blob, error) {
	f, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return writeBlob(f.Name(), gzip.BestSpeed, write)
}

// writeBinary gives a tar with the file as /app.
func writeBinary(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	if err := t.WriteHeader(header("app", 0o755, st.Size())); err != nil {
		return err
	}
	if _, err := io.Copy(t, f); err != nil {
		return err
	}
	return t.Close()
}

// file is a file of a layer; a name that ends in a slash is a folder's.
type file struct{ name, content string }

// writeFiles gives a tar of the files.
func writeFiles(w io.Writer, files ...file) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		mode := int64(0o644)
		if f.name[len(f.name)-1] == '/' {
			mode = 0o755
		}
		if err := t.WriteHeader(header(f.name, mode, int64(len(f.content)))); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := io.WriteString(t, f.content); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return t.Close()
}

// tarFolder writes the folder's content as a tar file.
func tarFolder(path, dir string) (err error) {
	f, err := os.Create(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	t := tar.NewWriter(f)
	if err := t.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return t.Close()
}
