package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ship/layers"
	"ship/transfer/place"
)

// packed is content as a program to be carried.
func packed(t *testing.T, content string) place.Binary {
	t.Helper()
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, err := io.WriteString(z, content)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	return place.Binary{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(gz.Bytes())), nil
	}}
}

// TestProxyImage: equal programs make equal images, and a fleet of two architectures has one for each.
func TestProxyImage(t *testing.T) {
	amd64, arm64 := layers.Platform{OS: "linux", Arch: "amd64"}, layers.Platform{OS: "linux", Arch: "arm64"}
	var ids []string
	for range 2 {
		one, err := imageOfProxy(packed(t, "program"), amd64)
		if err != nil {
			t.Fatal(err)
		}
		other, err := imageOfProxy(packed(t, "program for arm"), arm64)
		if err != nil {
			t.Fatal(err)
		}
		src, err := layers.Together(one, other)
		if err != nil {
			t.Fatal(err)
		}
		release, err := releaseOf(t.Context(), src, layers.Ref{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, release.ID)
		for _, p := range []layers.Platform{amd64, arm64} {
			img, err := src.Image(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if img.Platform != p || len(img.Layers) != 1 || !strings.Contains(string(img.Config), `"Entrypoint":["/ship","proxy","run"]`) {
				t.Errorf("%s: %s", p, img.Config)
			}
		}
		if _, err := layers.Together(one, other, one); err == nil {
			t.Error("two images for one platform are taken")
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("not the same twice: %s", ids)
	}
}

func TestCheckStatic(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nimport _ \"os/user\"\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	static := filepath.Join(dir, "static")
	cmd := exec.Command("go", "build", "-o", static, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if err := checkStatic(static); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"/bin/sh": "dynamically linked", src: "bad magic", filepath.Join(dir, "none"): "no such file"} {
		if err := checkStatic(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
