package main

import (
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"ship/cmd/ship/carried"
	"ship/config"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer/place"
)

// proxyImage makes the proxy's image, for all architectures at hand.
func proxyImage(ctx context.Context, run config.ProxyRun) (orchestrate.ProxyImage, error) {
	src, err := proxySource(ctx)
	if err != nil {
		return orchestrate.ProxyImage{}, fmt.Errorf("make the proxy's image: %w", err)
	}
	release, err := releaseOf(ctx, src, layers.Ref{}, nil)
	if err != nil {
		return orchestrate.ProxyImage{}, errors.Join(err, src.Close())
	}
	return orchestrate.ProxyImage{Source: src, ID: release.ID, Version: version(), HTTPPort: run.HTTPPort, HTTPSPort: run.HTTPSPort, Args: proxyArgs(run)}, nil
}

// proxyArgs are what the proxy is told beside its port: nothing where nothing was asked for.
func proxyArgs(run config.ProxyRun) (args []string) {
	if run.MetricsAddr != "" {
		args = append(args, "--metrics", run.MetricsAddr)
	}
	if run.LogPercent < 100 {
		args = append(args, "--log-percent", strconv.FormatFloat(run.LogPercent, 'g', -1, 64))
	}
	return args
}

func proxySource(ctx context.Context) (layers.Source, error) {
	all, err := carried.All(carried.Proxy)
	if err != nil {
		return nil, err
	}
	if len(all) == 1 { // this very program
		if err := checkStatic(ownProgram); err != nil {
			return nil, err
		}
	}
	var archs []string
	for arch := range all {
		archs = append(archs, arch)
	}
	slices.Sort(archs)
	images := make([]layers.Source, len(archs))
	g, _ := errgroup.WithContext(ctx)
	for i, arch := range archs {
		g.Go(func() error {
			var err error
			images[i], err = imageOfProxy(all[arch], layers.Platform{OS: "linux", Arch: arch})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return layers.Together(images...)
}

// imageOfProxy is an image FROM scratch of a static program: itself, as /ship, and nothing else. The same program gives
// the same digest everywhere.
func imageOfProxy(b place.Binary, p layers.Platform) (layers.Source, error) {
	cfg := layers.BuildConfig{Platform: p, Entrypoint: []string{"/ship", "proxy", "run"}}
	return layers.Build(cfg, []layers.File{{Path: "ship", Mode: 0o755, Size: b.Size, Open: func() (io.ReadCloser, error) { return unzipped(b) }}})
}

// unzipped is a program as it is.
func unzipped(b place.Binary) (io.ReadCloser, error) {
	packed, err := b.Open()
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, errors.Join(err, packed.Close())
	}
	return &unzipping{z, packed}, nil
}

type unzipping struct {
	*gzip.Reader
	packed io.Closer
}

func (u *unzipping) Close() error { return errors.Join(u.Reader.Close(), u.packed.Close()) }

const ownProgram = "/proc/self/exe"

// checkStatic refuses a binary that needs a dynamic loader: there is none in the image.
func checkStatic(binary string) error {
	f, err := elf.Open(binary)
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New(binary + " is dynamically linked; build ship with CGO_ENABLED=0")
		}
	}
	return nil
}
