package sshx

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// expand replaces what ssh_config allows in file names: ~, %tokens and ${VARIABLES}.
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

// path is a file name of ssh_config as the file system knows it. A token we do not have is an error, not left as it is:
// the file would silently not be found.
func (x expand) path(v string) (string, error) {
	if v == "~" || strings.HasPrefix(v, "~/") {
		v = x.home + v[1:]
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '%' && i+1 < len(v):
			t, ok := x.tokens[v[i+1]]
			if !ok {
				return "", fmt.Errorf("%q: %%%c is not supported", v, v[i+1])
			}
			b.WriteString(t)
			i++
		case strings.HasPrefix(v[i:], "${"):
			name, rest, ok := strings.Cut(v[i+2:], "}")
			if !ok {
				return "", fmt.Errorf("%q: ${ without }", v)
			}
			b.WriteString(x.getenv(name))
			i = len(v) - len(rest) - 1
		default:
			b.WriteByte(v[i])
		}
	}
	if b.Len() == 0 {
		return "", nil
	}
	return filepath.Clean(b.String()), nil
}
