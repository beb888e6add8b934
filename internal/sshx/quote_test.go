package sshx

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, "''"},
		{[]string{"docker", "load"}, "'docker' 'load'"},
		{[]string{"it's"}, `'it'\''s'`},
		{[]string{`a\b!`}, `'a'\\'b'\!''`},
		{[]string{"a b", "$(reboot)", "`x`", "a\nb"}, "'a b' '$(reboot)' '`x`' 'a\nb'"},
	} {
		if got := Quote(tt.words...); got != tt.want {
			t.Errorf("Quote(%q) = %s, want %s", tt.words, got, tt.want)
		}
	}
}

// shells are those of this machine among the ones that people have as login shells, sh always.
func shells() [][]string {
	found := [][]string{{"sh", "-c"}}
	for _, s := range [][]string{{"dash", "-c"}, {"bash", "-c"}, {"busybox", "sh", "-c"}, {"zsh", "-c"}, {"fish", "-c"}, {"mksh", "-c"}} {
		if _, err := exec.LookPath(s[0]); err == nil {
			found = append(found, s)
		}
	}
	return found
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", `\`, `\\'`, `'\''`, "!!", "$HOME", "`id`", "a\nb\n", "\r", "~", "=ls", "*", "-n", "%s", "\x80\xff", "ü…", "\x1b[0m", "#", "${x", "if"} {
		f.Add(s, s+"x")
	}
	all := shells()
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.Contains(a+b, "\x00") || len(a)+len(b) > 10000 {
			return
		}
		for _, sh := range all {
			// The shell's own printf, as for a remote command; the dot saves newlines at the end.
			line := Quote("printf", "%s|%s.", a, b)
			out, err := exec.Command(sh[0], append(sh[1:], line)...).CombinedOutput()
			if err != nil || string(out) != a+"|"+b+"." {
				t.Errorf("%s: %q, %q became %q, %v", sh[0], a, b, out, err)
			}
		}
	})
}
