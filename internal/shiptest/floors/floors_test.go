// Package floors holds the rule of the house: imports point down, and neighbours on a floor never meet.
package floors

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of this module each may import. A package that is not listed fails the test: a new room
// needs a place in the house first (docs/design.md).
var allowed = map[string][]string{
	"ship/internal/event":   {},
	"ship/layers":           {"ship/internal/event"},
	"ship/config":           {"ship/internal/event"},
	"ship/internal/plain":   {},
	"ship/internal/docker":  {"ship/internal/event", "ship/internal/plain"},
	"ship/internal/sshx":    {"ship/internal/event", "ship/internal/plain"},
	"ship/layers/delta":     {},
	"ship/transfer/wire":    {},
	"ship/transfer/chunk":   {},
	"ship/transfer/peer":    {"ship/transfer/wire", "ship/transfer/chunk"},
	"ship/transfer/place":   {"ship/internal/plain"},
	"ship/transfer/swarm":   {"ship/internal/event", "ship/internal/docker", "ship/internal/plain", "ship/transfer/wire", "ship/transfer/chunk", "ship/transfer/place"},
	"ship/transfer/engine":  {"ship/layers", "ship/internal/docker"},
	"ship/transfer/helper":  {"ship/internal/event", "ship/layers", "ship/layers/delta", "ship/internal/docker", "ship/transfer/wire", "ship/transfer/chunk", "ship/transfer/peer", "ship/transfer/place", "ship/transfer/engine"},
	"ship/transfer/bundle":  {"ship/internal/event", "ship/layers"},
	"ship/transfer":         {"ship/internal/event", "ship/layers", "ship/layers/delta", "ship/internal/docker", "ship/transfer/wire", "ship/transfer/swarm", "ship/transfer/place"},
	"ship/proxy/h1":         {},
	"ship/proxy/acme":       {},
	"ship/proxy":            {"ship/internal/event", "ship/proxy/h1", "ship/proxy/acme"},
	"ship/orchestrate":      {"ship/internal/event", "ship/layers", "ship/config", "ship/internal/docker", "ship/transfer", "ship/proxy", "ship/proxy/acme"},
	"ship/internal/ui":      {"ship/internal/event"},
	"ship/cmd/ship-helper":  {"ship/transfer/helper"},
	"ship/cmd/ship-proxy":   {"ship/proxy"},
	"ship/cmd/ship/carried": {"ship/transfer/place"},
	"ship/cmd/ship": {"ship/cmd/ship/carried", "ship/transfer/place", "ship/internal/event", "ship/layers", "ship/config", "ship/internal/docker", "ship/internal/plain", "ship/internal/sshx",
		"ship/transfer", "ship/transfer/engine", "ship/transfer/helper", "ship/transfer/bundle", "ship/proxy", "ship/proxy/acme", "ship/orchestrate", "ship/internal/ui"},
}

// beside are trees that only tests and the tools for them may use; they may import what they like.
var beside = []string{"ship/internal/shiptest", "ship/cmd/shiplab", "ship/cmd/shipdemo", "ship/cmd/shipbench", "ship/cmd/proxybench", "ship/cmd/proxysoak"}

func TestImportsPointDown(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if isBeside(p.ImportPath) {
			continue
		}
		seen++
		may, listed := allowed[p.ImportPath]
		if !listed {
			t.Errorf("%s has no place in the house", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "ship/") && !slices.Contains(may, imp) {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages seen, %d have a place", seen, len(allowed))
	}
}

func isBeside(path string) bool {
	return slices.ContainsFunc(beside, func(b string) bool { return path == b || strings.HasPrefix(path, b+"/") })
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "ship/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}
