//go:build linux

package lab

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

const imageTag = "lab-test:1"

// testImage is an archive for docker load: one static program on nothing.
func testImage(t *testing.T) []byte {
	t.Helper()
	server := filepath.Join(t.TempDir(), "server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", server, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build server: %v: %s", err, out)
	}
	program, err := os.ReadFile(server)
	ok(t, err)
	layer := tarOf(t, file{"server", program})
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH,
		"config": map[string]any{"Entrypoint": []string{"/server"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	ok(t, err)
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{imageTag}, "Layers": []string{"layer.tar"}}})
	ok(t, err)
	return tarOf(t, file{"layer.tar", layer}, file{"config.json", config}, file{"manifest.json", manifest})
}

type file struct {
	name    string
	content []byte
}

func tarOf(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		ok(t, w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content))}))
		_, err := w.Write(f.content)
		ok(t, err)
	}
	ok(t, w.Close())
	return b.Bytes()
}
