package plain

import "testing"

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"  two\n lines\t":                "two lines",
		"\x1b[1;31mred\x1b[0m \x1bMtext": "red text",
		"\x1b]0;title\x07bell\x00\x7f":   "bell",
		"C1 \u009b31mred":                "C1 red",
		"right\u202eleft\u2066x\u200b":   "rightleftx",
		"bad \xff\xfe bytes":             "bad bytes",
		"ümläut 東京":                      "ümläut 東京",
	} {
		if got := Line(in, 100); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Line("ab cd", 3); got != "ab" {
		t.Errorf("cut at a blank: %q", got)
	}
	if got := Line("ab東京", 4); got != "ab" {
		t.Errorf("cut in the middle of a character: %q", got)
	}
}
