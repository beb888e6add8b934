//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
)

// rig is the lab as it is when the measuring begins: h1 is the controller, with an engine, a registry and an OCI
// layout that all hold the image; the others are the hosts.
type rig struct {
	options
	dir      string
	lab      *lab.Lab
	registry *exec.Cmd
	image    string            // what is pushed, in words
	size     int64             // its layers as gzip, in bytes
	ids      map[string]string // of the images, by tag
	report   report
}

// tags are the image's versions and what changed since the first.
func tags() map[string]images.BulkStep {
	return map[string]images.BulkStep{"a": "", "b": images.AppChanged, "c": images.DepsChanged}
}

// setUp makes the rig. On an error nothing is left.
func setUp(ctx context.Context, o options) (_ *rig, err error) {
	r := &rig{options: o, ids: map[string]string{}}
	if r.dir, err = os.MkdirTemp("", "shipbench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	hosts := slices.Repeat([]lab.HostOptions{{Engine: "sid"}}, 1+max(fleet, slices.Max(o.hosts)))
	if r.lab, err = lab.Up(ctx, lab.Options{Hosts: hosts, Log: os.Stderr}); err != nil {
		return nil, err
	}
	if err := r.controller().Authorize(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{r.installTools, r.loadImages, r.fillRegistry} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rig) controller() *lab.Host { return r.lab.Hosts[0] }

// close ends everything that the rig runs and removes its files.
func (r *rig) close() error {
	if r.registry != nil {
		_ = r.registry.Process.Kill() // it may have ended
		_ = r.registry.Wait()         // by a signal, as just sent
	}
	var err error
	if r.lab != nil {
		err = r.lab.Close()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// send runs a command on the controller with the stream as its input.
func (r *rig) send(ctx context.Context, in io.Reader, argv ...string) error {
	cmd := r.controller().Command(ctx, argv...)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// install copies a program of this machine to the controller.
func (r *rig) install(ctx context.Context, from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.send(ctx, f, "/bin/sh", "-c", `mkdir -p "${1%/*}" && cat >"$1" && chmod 755 "$1"`, "sh", to)
}

// installTools brings to the controller what it lacks: ship, this program, zstd and ssh.
func (r *rig) installTools(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(
		r.install(ctx, r.ship, "/usr/local/bin/ship"),
		r.install(ctx, self, "/usr/local/bin/shipbench"),
		r.installDynamic(ctx, "zstd"),
		r.installDynamic(ctx, "ssh"),
	)
}

// installDynamic copies a program of this machine with its libraries: the controller's may be others.
func (r *rig) installDynamic(ctx context.Context, name string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", path).Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", path, err)
	}
	dir := "/opt/" + name + "/"
	files, loader := map[string]string{path: dir + name}, ""
	for _, word := range strings.Fields(string(out)) {
		if !filepath.IsAbs(word) {
			continue
		}
		files[word] = dir + filepath.Base(word)
		if strings.HasPrefix(filepath.Base(word), "ld-linux") {
			loader = files[word]
		}
	}
	for from, to := range files {
		if err := r.install(ctx, from, to); err != nil {
			return fmt.Errorf("install %s: %w", to, err)
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s --library-path %s %s%s \"$@\"\n", loader, dir, dir, name)
	return r.send(ctx, strings.NewReader(script), "/bin/sh", "-c", `cat >"/usr/local/bin/$1" && chmod 755 "/usr/local/bin/$1"`, "sh", name)
}

// loadImages makes the images and gives them to the controller's engine, and as an OCI layout.
func (r *rig) loadImages(ctx context.Context) error {
	layout := filepath.Join(r.dir, "layout")
	for tag, step := range tags() {
		img, err := images.MakeBulk(ctx, images.Bulk{Ref: repository + ":" + tag, Step: step, Quick: r.quick, Log: os.Stderr})
		if err != nil {
			return err
		}
		r.ids[tag] = img.ID
		if tag == "a" {
			r.size = img.Bytes
			r.image = fmt.Sprintf("%d MB in %d layers, %d MB as gzip", img.Unpacked/1e6, len(img.DiffIDs), img.Bytes/1e6)
		}
		if err := img.OCILayout(layout); err != nil {
			return err
		}
		archive := filepath.Join(r.dir, "archive.tar")
		if err := img.DockerArchive(archive); err != nil {
			return err
		}
		f, err := os.Open(archive)
		if err != nil {
			return err
		}
		err = r.send(ctx, f, "docker", "load", "-q")
		f.Close()
		if err != nil {
			return err
		}
		if err := os.Remove(archive); err != nil {
			return err
		}
	}
	return r.sendFolder(ctx, layout, layoutDir)
}

func (r *rig) sendFolder(ctx context.Context, from, to string) error {
	pack := exec.CommandContext(ctx, "tar", "-C", from, "-c", ".")
	stream, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	err = r.send(ctx, stream, "/bin/sh", "-c", `mkdir -p "$1" && tar -C "$1" -x`, "sh", to)
	_ = stream.Close() // so that tar ends where the other side ended early
	return errors.Join(err, pack.Wait())
}

// fillRegistry starts the registry on the controller and pushes the images, as a person would before a pull.
func (r *rig) fillRegistry(ctx context.Context) error {
	cmd := r.controller().Command(ctx, "/usr/local/bin/shipbench", "registry", registryDir)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.registry = cmd
	for _, tag := range []string{"a", "b", "c"} {
		begin := time.Now()
		remote := registryAddr + "/" + repository + ":" + tag
		_, err := r.controller().Exec(ctx, fmt.Sprintf("mkdir -p %s; for i in 1 2 3 4 5; do curl -sf %s/v2/ && break; sleep 1; done; docker tag %s:%s %s && docker push -q %s",
			registryDir, registryAddr, repository, tag, remote, remote))
		if err != nil {
			return err
		}
		r.report.pushes = append(r.report.pushes, fmt.Sprintf("%s %.1f s", tag, time.Since(begin).Seconds()))
	}
	return nil
}
