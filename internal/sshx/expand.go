package sshx

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// expand replaces what ssh_config allows in its values: ~, %tokens and ${VARIABLES}.
type expand struct {
	home   string
	tokens map[byte]string
	getenv func(string) string
}

func expander(s settings, a address, o Options) expand {
	x := expand{home: o.getenv("HOME"), getenv: o.getenv}
	// Both are for tokens that hardly anybody uses: an error there is an empty token.
	login, _ := loginName()
	local, _ := os.Hostname()
	short, _, _ := strings.Cut(local, ".")
	alias := s.keyAlias
	if alias == "" {
		alias = a.host
	}
	x.tokens = map[byte]string{
		'%': "%", 'd': x.home, 'h': s.host, 'i': strconv.Itoa(os.Getuid()), 'j': strings.Join(s.jump, ","), 'k': alias,
		'L': short, 'l': local, 'n': a.host, 'p': strconv.Itoa(s.port), 'r': s.user, 'u': login,
	}
	return x
}

// path is a file name of ssh_config as the file system knows it.
func (x expand) path(v string) (string, error) {
	if v == "~" || strings.HasPrefix(v, "~/") {
		v = x.home + v[1:]
	}
	v, err := x.variablesIn(v)
	if err == nil {
		v, err = x.tokensIn(v)
	}
	if v == "" || err != nil {
		return "", err
	}
	return filepath.Clean(v), nil
}

// tokensIn replaces %tokens. One that we do not have is an error, not left as it is: a file would silently not be found.
func (x expand) tokensIn(v string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(v, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after == "" {
			return "", fmt.Errorf("%q: a token is missing after %%", v)
		}
		t, ok := x.tokens[after[0]]
		if !ok {
			return "", fmt.Errorf("%q: %%%c is not supported", v, after[0])
		}
		b.WriteString(t)
		v = after[1:]
	}
}

// variablesIn replaces ${VARIABLES}.
func (x expand) variablesIn(v string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(v, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("%q: ${ without }", v)
		}
		b.WriteString(x.getenv(name))
		v = rest
	}
}

// homely is a file name from a person or from ship.yaml: only ~ means something in it.
func homely(name string, o Options) string {
	if strings.HasPrefix(name, "~/") {
		return filepath.Join(o.getenv("HOME"), name[2:])
	}
	return name
}
