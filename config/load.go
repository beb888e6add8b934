package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxFile is the size of the largest configuration that is read.
const maxFile = 1 << 20

// LoadOptions are what Load needs beside the file.
type LoadOptions struct {
	Destination string                            // "" = only the file itself
	Getenv      func(string) (string, bool)       // for ${...}, and HOME for ~/; nil = nothing is set
	ReadFile    func(path string) ([]byte, error) // nil = from the disk, at most 1 MiB
}

// Find looks for the configuration of a directory. It returns a *NotFoundError if there is none.
func Find(dir string) (string, error) {
	nowhere := &NotFoundError{}
	for _, name := range []string{"ship.yaml", "ship.yml", filepath.Join("config", "ship.yaml")} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			return path, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", fmt.Errorf("look for the configuration: %w", err)
		}
		nowhere.Tried = append(nowhere.Tried, path)
	}
	return "", nowhere
}

// Load reads the file, lays that of the destination over it, and checks the result. Its error is Errors, with every
// mistake of both files, unless a file cannot be read.
func Load(path string, o LoadOptions) (*App, error) {
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	r := &report{}
	x := &expander{lookup: o.Getenv, left: maxExpanded}
	data, err := o.ReadFile(path)
	if err != nil {
		return nil, unreadable(err, path)
	}
	files := []string{path}
	root := readTree(path, data, x, r)
	if o.Destination != "" {
		over, data, err := readDestination(path, o)
		if err != nil {
			return nil, err
		}
		files = append(files, over)
		root = merge(root, readTree(over, data, x, r))
	}
	var app *App
	if root != nil {
		home := ""
		if o.Getenv != nil {
			home, _ = o.Getenv("HOME")
		}
		app = decoder{r, home}.app(root, path)
		app.Destination, app.Files, app.Origins = o.Destination, files, origins(root, "", nil)
		app.SecretFiles = secretFiles(app.SecretFiles[0], o.Destination)
	}
	if err := r.result(files); err != nil {
		return nil, err
	}
	return app, nil
}

func readTree(name string, data []byte, x *expander, r *report) *node {
	src := newSource(name, data)
	if len(data) > maxFile {
		src.lines = nil
		r.add(src.mistake(0, 0, "", "", fmt.Sprintf("larger than %d bytes", maxFile)))
		return nil
	}
	root := parse(src, data, x, r)
	if root != nil {
		normalise(root)
	}
	return root
}

// readDestination finds ship.<destination>.yaml beside ship.yaml, whatever the two endings.
func readDestination(path string, o LoadOptions) (string, []byte, error) {
	if err := checkName(o.Destination); err != nil {
		return "", nil, Errors{{File: path, Message: "destination " + clip(o.Destination) + ": " + err.Error()}}
	}
	ext := filepath.Ext(path)
	other := ".yaml"
	if ext == ".yaml" {
		other = ".yml"
	}
	var tried []string
	for _, ext := range []string{ext, other} {
		name := strings.TrimSuffix(path, filepath.Ext(path)) + "." + o.Destination + ext
		data, err := o.ReadFile(name)
		if err == nil {
			return name, data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, unreadable(err, name)
		}
		tried = append(tried, name)
	}
	return "", nil, &NotFoundError{Tried: tried}
}

func unreadable(err error, path string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &NotFoundError{Tried: []string{path}}
	}
	return fmt.Errorf("read the configuration: %w", err)
}

// readFile reads one byte more than is allowed at most, for the caller to see that there is more.
func readFile(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
