//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"ship/internal/shiptest/testcert"
)

// rig is what runs: the app and the proxies.
type rig struct {
	options options
	dir     string
	app     string // its address
	all     []*contender
	started []*exec.Cmd
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func newRig(ctx context.Context, dir string, o options) (*rig, error) {
	r := &rig{options: o, dir: dir}
	var err error
	if r.all, err = contenders(o); err != nil {
		return nil, err
	}
	if err := r.writePair(); err != nil {
		return nil, err
	}
	if err := r.startApp(ctx); err != nil {
		return nil, err
	}
	for _, c := range r.all {
		if c.running, err = c.start(ctx, r, c); err == nil {
			err = c.answers(ctx, func() error { return r.deploy(ctx, c, false) })
		}
		if err != nil {
			r.close()
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return r, nil
}

func (r *rig) deploy(ctx context.Context, c *contender, secure bool) error {
	if c.deploy == nil {
		return nil
	}
	return c.deploy(ctx, r, c, secure)
}

// others is the list of CPUs that the proxies do not have.
func others() string { return fmt.Sprintf("1-%d", max(1, runtime.NumCPU()-1)) }

func (r *rig) startApp(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "taskset", "-c", others(), self, "app")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.started = append(r.started, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	r.app = strings.TrimSpace(line)
	return err
}

// run starts a proxy on the first CPU; what it says goes to a file, its log of requests included.
func (r *rig) run(ctx context.Context, name string, env []string, program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", "0", program}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(r.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.started = append(r.started, cmd)
	return cmd, nil
}

func (r *rig) close() {
	for _, cmd := range slices.Backward(r.started) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // by that signal
	}
}

// writePair makes a certificate for the proxies.
func (r *rig) writePair() error {
	cert, key, err := testcert.Today(host)
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "both.pem": cert + key} {
		if err == nil {
			err = os.WriteFile(r.path(name), []byte(text), 0o600)
		}
	}
	return err
}
