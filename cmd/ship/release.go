package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ship/internal/docker"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer/engine"
)

// openSource opens an image source. The closer frees the source and what it is read through.
func (d *deps) openSource(ctx context.Context, s string) (layers.Source, layers.Ref, func(), error) {
	if path, ok := strings.CutPrefix(s, transportBundle+":"); ok {
		return d.bundleSource(path)
	}
	ref, err := layers.ParseRef(s)
	if err != nil {
		return nil, ref, nil, &usageError{err, "sources are docker-daemon:REF, docker-archive:FILE[:REF], oci-archive:FILE[:REF], oci:DIR[:REF], bundle:FILE and ssh://HOST/REF"}
	}
	o := layers.OpenOptions{CacheDir: filepath.Join(d.cacheDir(), "layers"), Emit: d.ui.Emit}
	if ref.Transport == layers.TransportSSH {
		src, _, done, err := d.openRemote(ctx, ref, d.sshOptions())
		return src, ref, done, err
	}
	if ref.Transport != layers.TransportDaemon {
		src, err := layers.Open(ctx, ref, nil, o)
		if err != nil {
			return nil, ref, nil, &usageError{err, ""}
		}
		return src, ref, func() { _ = src.Close() }, nil
	}
	dial, err := docker.Local(d.getenv)
	if err != nil {
		return nil, ref, nil, &usageError{err, "docker-archive: and oci: sources need no engine on this machine"}
	}
	local := docker.New(dial)
	src, err := layers.Open(ctx, ref, engine.Source(local), o)
	if err != nil {
		local.Close()
		return nil, ref, nil, &usageError{fmt.Errorf("local engine: %w", err), "docker-archive: and oci: sources need no engine on this machine"}
	}
	return src, ref, func() { _ = src.Close(); local.Close() }, nil
}

// cacheDir keeps compressed layers between runs.
func (d *deps) cacheDir() string {
	if dir := d.getenv("SHIP_CACHE"); dir != "" {
		return dir
	}
	base := d.getenv("XDG_CACHE_HOME")
	if base == "" {
		base = filepath.Join(d.getenv("HOME"), ".cache")
	}
	return filepath.Join(base, "ship")
}

// releaseOf names the release: by the config digests of all platforms that the source holds, so that it has one name
// whatever part of a fleet is deployed to; and for people by the image's tag. A host whose platform the source lacks is
// refused.
func releaseOf(ctx context.Context, src layers.Source, ref layers.Ref, found []orchestrate.Observed) (orchestrate.Release, error) {
	for _, o := range found {
		if _, err := src.Image(ctx, layers.Platform{OS: "linux", Arch: o.Info.Arch}); err != nil {
			return orchestrate.Release{}, &orchestrate.HostError{Host: o.Host, Step: "preflight", Err: &orchestrate.RefusedError{
				Cause: err.Error(), Help: fmt.Sprintf("%s is linux/%s: build the image for it", o.Host, o.Info.Arch)}}
		}
	}
	var all []string
	name := ref.Name
	if ref.Transport != layers.TransportDaemon && name != "" && !strings.ContainsAny(name, ":/@") {
		name = ":" + name // layouts and archives may name an image by its tag alone
	}
	for _, p := range src.Platforms() {
		img, err := src.Image(ctx, p)
		if err != nil {
			return orchestrate.Release{}, fmt.Errorf("read image: %w", err)
		}
		all = append(all, string(img.ConfigDigest()))
		name = cmp.Or(name, img.Ref)
	}
	slices.Sort(all)
	id := layers.Digest(all[0])
	if len(all) > 1 {
		id = layers.DigestOf([]byte(strings.Join(all, "\n")))
	}
	return orchestrate.Release{ID: id.Short(), Version: versionOf(name, id.Short())}, nil
}

// versionOf is the tag in the image's name, unless it says nothing.
func versionOf(name, id string) string {
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") && name[i+1:] != "latest" && !strings.Contains(name, "@") {
		return name[i+1:]
	}
	return id
}
