package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// maxProxy is what the proxy's image may cost a host that lacks it, in bytes.
const maxProxy = 5 << 20

// TestSmall: the proxy alone, as `make build` makes it.
func TestSmall(t *testing.T) {
	out := filepath.Join(t.TempDir(), "proxy")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "ship/cmd/ship-proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d compressed", len(b), packed.Len())
	if packed.Len() > maxProxy {
		t.Errorf("%d bytes compressed, at most %d are right", packed.Len(), maxProxy)
	}
}
