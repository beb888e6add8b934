// Package payload builds the program that the tests put into their images: command app, a web server, or a worker,
// with bad habits on request.
package payload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles the app for linux and the architecture (a GOARCH) into dir and returns the path of the binary, which
// is static. The same sources and compiler give the same bytes. With the same dir again it costs next to nothing.
func Build(ctx context.Context, dir, arch string) (string, error) {
	path := filepath.Join(dir, "app-"+arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "ship/internal/shiptest/payload/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build test app for %s: %w: %s", arch, err, out)
	}
	return path, nil
}
