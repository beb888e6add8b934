// Package module builds programs of other Go modules for tests and benchmarks, each as its own go.mod says: what they depend on
// is none of this project's.
package module

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is a command of a module.
type Program struct {
	Module, Version string // "github.com/letsencrypt/pebble/v2", "v2.10.1"
	Package         string // in it: "./cmd/pebble"

	Requires []string // "example.com/x v1.2.3": what a module from before there was go.mod is built with
}

// Build returns the program's path. It makes it the first time on a machine, from what the module proxy has and the checksum
// database vouches for; who calls at the same time makes it too.
func Build(ctx context.Context, p Program) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "ship-test", strings.ReplaceAll(p.Module, "/", "-")+"@"+p.Version, filepath.Base(p.Package))
	if p.Package == "." {
		path = filepath.Join(filepath.Dir(path), filepath.Base(p.Module))
	}
	if _, err := os.Stat(path); err == nil { // it came into being as a whole
		return path, nil
	}
	work, err := os.MkdirTemp("", "module")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	source, err := download(ctx, work, p)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	ready, err := os.CreateTemp(filepath.Dir(path), "new")
	if err != nil {
		return "", err
	}
	defer os.Remove(ready.Name()) // once it has its name, that does nothing
	if err := ready.Close(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", ready.Name(), p.Package)
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", p.Package, err, out)
	}
	return path, os.Rename(ready.Name(), path)
}

// download copies the module's source, for the module cache cannot be written to.
func download(ctx context.Context, work string, p Program) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", p.Module+"@"+p.Version)
	cmd.Dir = work // outside of this module
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w: %s", p.Module, err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", fmt.Errorf("download %s: %w", p.Module, err)
	}
	source := filepath.Join(work, "src")
	if err := os.CopyFS(source, os.DirFS(m.Dir)); err != nil || len(p.Requires) == 0 {
		return source, err
	}
	text := "module " + p.Module + "\n\ngo 1.24\n\nrequire (\n\t" + strings.Join(p.Requires, "\n\t") + "\n)\n"
	return source, os.WriteFile(filepath.Join(source, "go.mod"), []byte(text), 0o644)
}
