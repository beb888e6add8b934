//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// BuildEngine makes the root file system of a Debian suite with its docker.io below dir by debootstrap, unless it
// is there. It takes about a minute and 500 MB; a second builder waits for the first.
func BuildEngine(ctx context.Context, dir, suite string, log io.Writer) error {
	dir = EngineDir(dir)
	root := filepath.Join(dir, suite)
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(dir, "."+suite+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	fmt.Fprintf(log, "building engine %s in %s\n", suite, root)
	packages := []string{"docker.io", "openssh-server", "iptables", "iproute2", "ca-certificates", "curl", "procps", "sudo"}
	if suite != "bullseye" && suite != "bookworm" {
		packages = append(packages, "docker-cli") // a package of its own since trixie
	}
	if err := Debootstrap(ctx, suite, root+".tmp", packages); err != nil {
		return fmt.Errorf("build engine %s: %w", suite, err)
	}
	return os.Rename(root+".tmp", root)
}

// Debootstrap makes the root file system of a Debian suite with the packages and all they depend on, from the
// machine's own mirror. What was at root before is gone.
func Debootstrap(ctx context.Context, suite, root string, packages []string) error {
	if err := os.RemoveAll(root); err != nil { // what an interrupted builder left
		return err
	}
	args := []string{"--variant=minbase", "--include=" + strings.Join(packages, ","), suite, root, mirror(aptSources())}
	if _, err := os.Stat("/usr/share/debootstrap/scripts/" + suite); err != nil {
		args = append(args, "/usr/share/debootstrap/scripts/sid") // a suite newer than the tool
	}
	cmd := exec.CommandContext(ctx, tool("debootstrap"), args...)
	cmd.Env = append(os.Environ(), aptProxy(ctx)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("debootstrap: %w: %s", err, tail(out, 800))
	}
	return slim(root)
}

// slim removes what a host must not share with others or does not need.
func slim(root string) error {
	for _, pattern := range []string{"var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "etc/ssh/ssh_host_*", "etc/resolv.conf"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// aptProxy hands apt's proxy on to debootstrap, which knows only the environment.
func aptProxy(ctx context.Context) []string {
	var env []string
	for _, scheme := range []string{"http", "https"} {
		out, err := run(ctx, "", "apt-config", "shell", "P", "Acquire::"+scheme+"::Proxy")
		p := strings.Trim(strings.TrimPrefix(strings.TrimSpace(out), "P="), "'")
		if err == nil && p != "" && p != "DIRECT" && os.Getenv(scheme+"_proxy") == "" {
			env = append(env, scheme+"_proxy="+p)
		}
	}
	return env
}

// defaultMirror serves machines that are no Debian.
const defaultMirror = "http://deb.debian.org/debian"

// aptSources are the files in which apt finds its mirrors.
func aptSources() []string {
	lists, _ := filepath.Glob("/etc/apt/sources.list.d/*.list")      // the patterns are well formed
	stanzas, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources") //
	return slices.Concat([]string{"/etc/apt/sources.list"}, stanzas, lists)
}

// mirror is the first Debian archive among the files: one with component main whose path ends in /debian.
func mirror(files []string) string {
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		uris, err := archives(f, strings.HasSuffix(file, ".sources"))
		f.Close()
		if i := slices.IndexFunc(uris, func(u string) bool { return strings.HasSuffix(strings.TrimRight(u, "/"), "/debian") }); err == nil && i >= 0 {
			return strings.TrimRight(uris[i], "/")
		}
	}
	return defaultMirror
}

// archives lists the URIs of binary packages in a sources.list(5) file of either format.
func archives(r io.Reader, deb822 bool) ([]string, error) {
	s := bufio.NewScanner(r)
	var uris []string
	if !deb822 {
		for s.Scan() {
			uris = append(uris, oneLine(s.Text())...)
		}
		return uris, s.Err()
	}
	stanza := map[string]string{}
	end := func() {
		if slices.Contains(strings.Fields(stanza["types"]), "deb") && slices.Contains(strings.Fields(stanza["components"]), "main") &&
			stanza["enabled"] != "no" {
			uris = append(uris, strings.Fields(stanza["uris"])...)
		}
		clear(stanza)
	}
	var key string
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.TrimSpace(line) == "":
			end()
		case strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			stanza[key] += " " + strings.TrimSpace(line)
		default:
			k, v, _ := strings.Cut(line, ":")
			key = strings.ToLower(k)
			stanza[key] = strings.TrimSpace(v)
		}
	}
	end()
	return uris, s.Err()
}

// oneLine reads "deb [options] URI SUITE COMPONENT...".
func oneLine(line string) []string {
	line, _, _ = strings.Cut(line, "#")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
	if !ok {
		return nil
	}
	if open, after, ok := strings.Cut(rest, "]"); ok && strings.Contains(open, "[") {
		rest = after
	}
	f := strings.Fields(rest)
	if len(f) < 3 || !slices.Contains(f[2:], "main") {
		return nil
	}
	return f[:1]
}
