package helper

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"ship/internal/docker"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// Command runs what a command line asks for: "check" says that it can be run; "serve DIR [OLD]" is the helper of the run that
// DIR was made for, in place of the one that serves OLD; "join DIR RUN
// ROLE [NAME]" joins its standard input and output to it. getenv looks up the environment.
func Command(ctx context.Context, args []string, in io.ReadCloser, out io.WriteCloser, getenv func(string) string) error {
	switch {
	case len(args) == 1 && args[0] == "check":
		_, err := fmt.Fprintln(out, place.Checked)
		return err
	case (len(args) == 2 || len(args) == 3) && args[0] == "serve":
		program, err := os.Executable()
		if err != nil {
			return err
		}
		o := Options{Dir: args[1], Spools: spools(getenv), Engine: engineDialer(getenv), Program: program}
		if len(args) == 3 {
			o.Old = args[2]
		}
		return Serve(ctx, in, out, o)
	case (len(args) == 4 || len(args) == 5) && args[0] == "join":
		j := wire.Join{Run: args[2], Role: args[3]}
		if len(args) == 5 {
			j.Name = args[4]
		}
		return Join(ctx, args[1], j, in, out)
	}
	return fmt.Errorf("helper: serve DIR [OLD], or join DIR RUN ROLE [NAME]")
}

// spools are where chunks may stay between runs, best first: on a disk, not in memory.
func spools(getenv func(string) string) []string {
	var out []string
	base := getenv("XDG_CACHE_HOME")
	if home := getenv("HOME"); base == "" && home != "" {
		base = filepath.Join(home, ".cache")
	}
	if filepath.IsAbs(base) {
		out = append(out, filepath.Join(base, "ship", "chunks"))
	}
	return append(out, filepath.Join("/var/tmp", "ship-"+strconv.Itoa(os.Getuid()), "chunks"))
}

// engineDialer dials the engine's socket, and where there is none lets the docker command find the engine: it knows
// contexts and rootless engines.
func engineDialer(getenv func(string) string) docker.Dialer {
	local, err := docker.Local(getenv)
	return func(ctx context.Context) (net.Conn, error) {
		if err == nil {
			if c, err := local(ctx); err == nil {
				return c, nil
			}
		}
		return dialStdio(ctx)
	}
}

// dialStdio is `docker system dial-stdio` as a connection.
func dialStdio(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "docker", "system", "dial-stdio") // ctx is for dialling only
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = theirs
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("there is no Docker engine: %w", err)
	}
	go func() {
		_, _ = io.Copy(in, theirs) // ends when either side does
		_ = in.Close()
		_ = cmd.Wait() // it ends with its stdin
		_ = theirs.Close()
	}()
	return ours, nil
}
