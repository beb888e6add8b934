package proxy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ship/layers"
)

func TestImage(t *testing.T) {
	dir := t.TempDir()
	build := func(name string, flags ...string) string {
		t.Helper()
		src := filepath.Join(dir, "main.go")
		if err := os.WriteFile(src, []byte("package main\n\nimport _ \"os/user\"\n\nfunc main() {}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), src)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		return out
	}
	static := build("static")
	p := layers.Platform{OS: "linux", Arch: "amd64"}
	var ids []string
	for range 2 {
		src, err := Image(static, p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := src.Image(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(img.ConfigDigest()))
		if len(img.Layers) != 1 || !strings.Contains(string(img.Config), `"Entrypoint":["/ship","proxy","run"]`) {
			t.Errorf("%s", img.Config)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("not the same twice: %s", ids)
	}
	for name, want := range map[string]string{"/bin/sh": "dynamically linked", filepath.Join(dir, "main.go"): "bad magic", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Image(name, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
