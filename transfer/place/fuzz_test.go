package place

import (
	"strings"
	"testing"
	"unicode"
)

func FuzzReadAnswers(f *testing.F) {
	for _, s := range []string{"", "Welcome\nship-place arch amd64\nship-place done\n", "ship-place noexec tried /a /b\n",
		"ship-place failed \x1b[31mred\x1b[0m\n", "ship-place", "ship-place \nship-place done", "ship-place forbidden \xff\x00\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := readAnswers(out)
		if _, done := a["done"]; done != (err == nil) {
			t.Errorf("done %v, error %v", done, err)
		}
		if err != nil && (len(err.Error()) > maxReason+100 || strings.ContainsFunc(err.Error(), unicode.IsControl)) {
			t.Errorf("an error of %q", err)
		}
		for key, value := range a {
			if len(key)+len(value) > maxValue || strings.Contains(key+value, "\n") {
				t.Errorf("%q is %q", key, value)
			}
		}
	})
}

func FuzzOption(f *testing.F) {
	for _, s := range []string{"", `a "b" 'c'`, `\`, `\"`, `a\"b`, `\\"`, "a\nb", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted, err := option(s)
		if err != nil {
			return
		}
		if got, rest := unquoted(quoted); got != s || rest != "" {
			t.Errorf("%q is read as %q, then %q", quoted, got, rest)
		}
	})
}

// unquoted reads a value as sshd does.
func unquoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
			b.WriteByte('"')
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "no end"
}
