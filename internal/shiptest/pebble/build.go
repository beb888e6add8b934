// Package pebble runs a real ACME server for tests: Pebble, of Let's Encrypt, with a name server of its own.
package pebble

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// module is what is built, as its own go.mod says: its dependencies are none of this project's.
const (
	module  = "github.com/letsencrypt/pebble/v2"
	version = "v2.10.1"
)

// programs are pebble and its name server.
type programs struct{ pebble, names string }

// build makes the programs, the first time on a machine.
func build(ctx context.Context) (programs, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return programs{}, err
	}
	dir := filepath.Join(cache, "ship-test", "pebble-"+version)
	p := programs{filepath.Join(dir, "pebble"), filepath.Join(dir, "pebble-challtestsrv")}
	if _, err := os.Stat(dir); err == nil { // it came into being as a whole
		return p, nil
	}
	work, err := os.MkdirTemp("", "pebble")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = work // outside of this module
	out, err := cmd.Output()
	if err != nil {
		return p, fmt.Errorf("download %s: %w: %s", module, err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return p, fmt.Errorf("download %s: %w", module, err)
	}
	source := filepath.Join(work, "src") // the module cache cannot be written to
	if err := os.CopyFS(source, os.DirFS(m.Dir)); err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return p, err
	}
	ready, err := os.MkdirTemp(filepath.Dir(dir), "new")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(ready)
	for _, to := range []string{p.pebble, p.names} {
		name := filepath.Base(to)
		cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-o", filepath.Join(ready, name), "./cmd/"+name)
		cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	if err := os.Rename(ready, dir); err != nil {
		if _, there := os.Stat(p.pebble); there != nil { // else another test was faster
			return p, err
		}
	}
	return p, nil
}
