//go:build linux

package docker

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// A folder that only the engine may read, through a container of which nothing stays.
func TestFolder(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "folder/app:v1", "folder")
		e.load(t, m)
		exec := func(script string) string {
			out, err := e.host.Exec(t.Context(), script)
			must(t, err)
			return out
		}
		exec("mkdir -p /secret/in && chmod 700 /secret && echo hello >/secret/in/file && ln /secret/in/file /secret/in/hard && ln -s /etc/shadow /secret/in/out")
		f, err := e.OpenFolder(t.Context(), m.tag, "/secret")
		must(t, err)
		for range 2 {
			r, err := f.Open(t.Context(), "in")
			must(t, err)
			var names []string
			for tr := tar.NewReader(r); ; {
				h, err := tr.Next()
				if err == io.EOF {
					break
				}
				must(t, err)
				b, err := io.ReadAll(tr)
				must(t, err)
				names = append(names, h.Name+"="+h.Linkname+string(b))
			}
			must(t, r.Close())
			if want := []string{"in/=", "in/file=hello\n", "in/hard=in/file", "in/out=/etc/shadow"}; !slices.Equal(names, want) {
				t.Errorf("entries %q", names)
			}
		}
		if _, err := f.Open(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
		if out := exec("docker ps -a --filter label=ship.read --format '{{.State}}'"); out != "created\n" {
			t.Errorf("the container is %q", out)
		}
		must(t, f.Close())
		must(t, f.Close()) // somebody pruned
		if _, err := e.OpenFolder(t.Context(), m.tag, "/not/there"); !errors.As(err, new(*APIError)) {
			t.Errorf("no such folder: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.OpenFolder(ctx, m.tag, "/secret"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if out := exec("docker ps -aq --filter label=ship.read; grep ship-folder /proc/mounts || true"); out != "" {
			t.Errorf("left behind: %q", out)
		}
	})
}

// What the image asks for as volumes is made with the container, and goes with it.
func TestFolderLeavesNoVolume(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		m := newImage(t, "folder/volume:v1", "volumes")
		e.load(t, m)
		script := "printf 'FROM folder/volume:v1\\nVOLUME /folder-data\\n' | DOCKER_BUILDKIT=0 docker build -q -t folder/volume:v2 - 2>/dev/null && docker volume ls -q"
		before, err := e.host.Exec(t.Context(), script)
		must(t, err)
		_, before, _ = strings.Cut(before, "\n") // the first line is the image's ID
		f, err := e.OpenFolder(t.Context(), "folder/volume:v2", "/etc")
		must(t, err)
		must(t, f.Close())
		after, err := e.host.Exec(t.Context(), "docker volume ls -q")
		must(t, err)
		for v := range strings.FieldsSeq(after) {
			if !strings.Contains(before, v) {
				t.Errorf("volume %s is left", v)
			}
		}
	})
}

func TestStepSizes(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		_, err := e.host.Exec(t.Context(), `mkdir -p /steps && cd /steps && echo hello >file && tar c file | docker import - steps:v1 &&
			printf 'FROM steps:v1\nENV A=b\nCOPY file file /d/\n' >Dockerfile && echo hi there >>file && DOCKER_BUILDKIT=0 docker build -q -t steps:v2 .`)
		must(t, err)
		sizes, err := e.StepSizes(t.Context(), "steps:v2")
		must(t, err)
		// A containerd store counts in blocks.
		if len(sizes) != 3 || !e.store && !slices.Equal(sizes, []int64{6, 0, 15}) {
			t.Errorf("steps of %v bytes", sizes)
		}
		if _, err := e.StepSizes(t.Context(), "steps/none:v1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("no such image: %v", err)
		}
	})
}
