package plain

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain text, naïve 日本 👍", 100, "plain text, naïve 日本 👍"},
		{"line\r\nnext\tcolumn\n", 100, "line\nnext\tcolumn\n"},
		{"real\rfake", 100, "realfake"},
		{"\x1b[31;1mred\x1b[0m", 100, "red"},
		{"\x1b]0;title\x07after", 100, "after"},
		{"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", 100, "link"},
		{"\x1bPq#0\x1b\\x", 100, "x"},
		{"\x1b(Bx\x1b=y", 100, "xy"},
		{"\u009b31mred", 100, "red"},
		{"\u009d0;t\u009cx", 100, "x"},
		{"\x1b]0;never ends\nnext", 100, "0;never ends\nnext"},
		{"\x1b[31", 100, "31"},
		{"\x1b", 100, ""},
		{"a\x00b\x08c\x7fd", 100, "abcd"},
		{"a\u202eb\u2066c\u200bd\ufeffe\u2028f", 100, "abcdef"},
		{"a\xff\xc0b", 100, "ab"},
		{"123456", 6, "123456"},
		{"1234567", 6, "123…"},
		{"12ü4567", 6, "12…"},
		{"1234567", 2, ""},
		{"", 0, ""},
	} {
		if got := Text(tt.in, tt.limit); got != tt.want {
			t.Errorf("Text(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"x", "\x1b[1m", "\x1b]0;\x07", "\u009b1m", "\x1b\x1b[[", "\xc2", "\xc2\x9b", "\u202e", "\x1bP\x1b\\", "…"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit %= 1000
		got := Text(s, limit)
		if len(got) > max(limit, 0) {
			t.Errorf("%d bytes, limit %d", len(got), limit)
		}
		if !utf8.ValidString(got) {
			t.Error("not UTF-8")
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Errorf("%U is left in %q", r, got)
			}
		}
		if len(got) < limit-utf8.UTFMax && strings.HasSuffix(got, cut) && !strings.Contains(s, cut) {
			t.Errorf("cut too early: %q", got)
		}
		if again := Text(got, limit); again != got {
			t.Errorf("not stable: %q becomes %q", got, again)
		}
		line := Line(s, limit)
		if len(line) > max(limit, 0) || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) ||
			strings.Join(strings.Fields(line), " ") != line {
			t.Errorf("%q is no line of at most %d bytes", line, limit)
		}
	})
}
