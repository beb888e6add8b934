package sshx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sshG asks an ssh client what ssh_config says.
type sshG struct {
	client string   // path of ssh
	file   string   // --ssh-config: "", "none" or a file
	files  []string // that file, or the usual ones
}

// Stand-ins for "nothing is said", see explicit.
const (
	noUser = "ship-no-user-is-set"
	noPort = "65535"
	noJump = "ship-no-jump-is-set.invalid"
)

// maxEntries bounds what ssh -G may print, in bytes.
const maxEntries = 1 << 20

func (g sshG) lookup(ctx context.Context, a address, o Options) (entries, error) {
	jump := ""
	if a.user == "" && o.User != "" || a.port == 0 && o.Port != 0 || o.Jump != "" {
		said, err := g.explicit(ctx, a)
		if err != nil {
			return nil, err
		}
		if a.user == "" && o.User != "" && said.one("user") == noUser {
			a.user = o.User
			// Match user may now say more about the rest.
			if said, err = g.explicit(ctx, a); err != nil {
				return nil, err
			}
		}
		if a.port == 0 && o.Port != 0 && said.one("port") == noPort {
			a.port = o.Port
		}
		if o.Jump != "" && said.one("proxyjump") == noJump {
			jump = o.Jump
		}
	}
	args := []string{}
	if g.file != "" {
		args = append(args, "-F", g.file)
	}
	if jump != "" {
		args = append(args, "-J", jump)
	}
	return g.run(ctx, a, args)
}

// explicit is lookup with stand-ins where the files say nothing about user, port and jump: ssh -G alone prints its
// defaults as if somebody had written them. The first value that ssh reads wins, so the stand-ins come last, in a file
// that includes the others.
func (g sshG) explicit(ctx context.Context, a address) (entries, error) {
	var text strings.Builder
	for _, f := range g.files {
		if strings.ContainsAny(f, "\"\n") {
			return nil, fmt.Errorf("cannot read a file with such a name: %q", f)
		}
		// Include takes patterns.
		f = strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(f)
		fmt.Fprintf(&text, "Include \"%s\"\n", f)
	}
	fmt.Fprintf(&text, "Match all\nUser %s\nPort %s\nProxyJump %s\n", noUser, noPort, noJump)
	dir, err := os.MkdirTemp("", "ship-ssh-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "config")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	return g.run(ctx, a, []string{"-F", name})
}

func (g sshG) run(ctx context.Context, a address, args []string) (entries, error) {
	args = append(args, "-G")
	if a.user != "" {
		args = append(args, "-l", a.user)
	}
	if a.port != 0 {
		args = append(args, "-p", strconv.Itoa(a.port))
	}
	var out, said capped
	cmd := exec.CommandContext(ctx, g.client, append(args, "--", a.host)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &said, time.Second // a Match exec may leave something behind
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var exit *exec.ExitError
		if last := lastLine(said.String()); errors.As(err, &exit) && last != "" {
			return nil, errors.New(last)
		}
		return nil, fmt.Errorf("run ssh -G: %w", err)
	}
	return parseEntries(out.Bytes())
}

// capped keeps the first maxEntries bytes.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:min(len(p), max(0, maxEntries-c.Len()))])
	return len(p), nil
}
