package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// local is a Shell on this machine, with a home of its own.
type local struct {
	argv  []string // of the shell
	env   []string
	home  string
	calls int
	sent  int64 // bytes of standard input that were read
}

func (l *local) Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error) {
	l.calls++
	argv := append(append(append([]string{}, l.argv...), "-c", text, "ship"), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = append([]string{"HOME=" + l.home, "USER=me"}, l.env...), l.home
	if stdin != nil {
		cmd.Stdin = counting{stdin, &l.sent}
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, complaint.Bytes())
	}
	if complaint.Len() > 0 {
		return out, errors.Join(err, fmt.Errorf("the script complains: %s", complaint.Bytes()))
	}
	return out, err
}

type counting struct {
	io.Reader
	n *int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += int64(n)
	return n, err
}

// shells runs a test with each shell that hosts have.
func shells(t *testing.T, test func(t *testing.T, sh *local)) {
	tools := t.TempDir()
	must(t, exec.CommandContext(t.Context(), "busybox", "--install", "-s", tools).Run())
	for name, sh := range map[string]local{
		"dash":    {argv: []string{"dash"}, env: []string{"PATH=/usr/bin:/bin"}},
		"bash":    {argv: []string{"bash", "--posix"}, env: []string{"PATH=/usr/bin:/bin"}},
		"busybox": {argv: []string{filepath.Join(tools, "sh")}, env: []string{"PATH=" + tools}},
	} {
		t.Run(name, func(t *testing.T) {
			home, err := os.MkdirTemp("", "h") // short: a long home makes the run folder go elsewhere
			must(t, err)
			t.Cleanup(func() { must(t, os.RemoveAll(home)) })
			sh.home = home
			test(t, &sh)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// names lists a folder, sorted, on one line.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}
