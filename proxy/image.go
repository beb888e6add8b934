package proxy

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"ship/layers"
)

// Image makes an image FROM scratch of a static binary: the program itself, as /ship, and nothing else. The same binary
// gives the same digest everywhere.
func Image(binary string, p layers.Platform) (layers.Source, error) {
	if err := checkStatic(binary); err != nil {
		return nil, err
	}
	st, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	cfg := layers.BuildConfig{Platform: p, Entrypoint: []string{"/ship", "proxy", "run"}}
	return layers.Build(cfg, []layers.File{{Path: "ship", Mode: 0o755, Size: st.Size(), Open: func() (io.ReadCloser, error) { return os.Open(binary) }}})
}

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
