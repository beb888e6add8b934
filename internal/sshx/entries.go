package sshx

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strings"
)

// entries is what ssh_config says for one host: keywords in lower case, values in the order of the files. It has the
// form that `ssh -G` prints.
type entries map[string][]string

// one is the value of a keyword that has one; "" where nothing is said.
func (e entries) one(key string) string {
	if v := e[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (e entries) all(key string) []string { return e[key] }

// parseEntries reads the output of `ssh -G`: a keyword and its value a line.
func parseEntries(out []byte) (entries, error) {
	e := entries{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if key == "" {
			continue
		}
		key = strings.ToLower(key)
		e[key] = append(e[key], unquote(strings.TrimSpace(value)))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the answer of ssh -G: %w", err)
	}
	if e.one("hostname") == "" || e.one("port") == "" {
		return nil, fmt.Errorf("ssh -G did not say where to connect to")
	}
	return e, nil
}

// paths splits a value that holds several file names. Some versions of ssh print them without quotes; a part that does
// not begin like a path therefore goes on with the one before it.
func paths(value string) []string {
	var out []string
	quoted := false
	for _, part := range strings.Split(value, " ") {
		switch {
		case quoted || len(out) > 0 && part != "" && !strings.ContainsRune(`/~"$%`, rune(part[0])) && part != "none":
			out[len(out)-1] += " " + part
		case part != "":
			out = append(out, part)
		}
		if strings.Count(part, `"`)%2 == 1 {
			quoted = !quoted
		}
	}
	for i := range out {
		out[i] = unquote(out[i])
	}
	return out
}

func unquote(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' && strings.Count(v, `"`) == 2 {
		return v[1 : len(v)-1]
	}
	return v
}

// lookup finds what ssh_config says for a, with the parts of a and the defaults of o in their places: the spec over an
// explicit entry over Options over ssh's own default.
func lookup(ctx context.Context, a address, o Options, client string) (entries, error) {
	if j, err := parseAddress(o.Jump); err == nil && j.host == a.host && (j.port == 0 || j.port == a.port) {
		o.Jump = "" // the jump host may be one of the hosts
	}
	files, err := configFiles(o)
	if err != nil {
		return nil, err
	}
	if client != "" {
		return sshG{client, o.ConfigFile, files}.lookup(ctx, a, o)
	}
	return readConfig(files, a, o)
}
