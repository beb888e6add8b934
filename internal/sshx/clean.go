package sshx

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut stands where Clean left something out.
const cut = "…"

// Clean makes a host's words safe for a terminal, a log and a CI system: escape sequences go as a whole, then every
// character that is not visible, the bidirectional and zero-width ones included; newlines and tabs stay, CR LF becomes
// a newline. At most limit bytes remain, the last of them "…" if something was cut; the result is valid UTF-8.
func Clean(s string, limit int) string {
	var b strings.Builder
	for len(s) > 0 {
		if n := escape(s); n > 0 {
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if visible(r, n) {
			if b.Len()+n > limit {
				return shorten(b.String(), limit)
			}
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func visible(r rune, n int) bool {
	if r == utf8.RuneError && n == 1 {
		return false
	}
	return r == '\n' || r == '\t' || unicode.IsGraphic(r)
}

// shorten makes room for the mark of a cut, on a rune's edge.
func shorten(s string, limit int) string {
	if limit < len(cut) {
		return ""
	}
	n := min(len(s), limit-len(cut))
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + cut
}

// escape is the length of the escape sequence at the start of s, 0 if there is none. A sequence that does not end, or
// that runs over a line's end, is only its introducer: a host shall not hide the rest of its words from us.
func escape(s string) int {
	intro, kind := 0, byte(0)
	switch {
	case len(s) >= 2 && s[0] == 0x1b:
		intro, kind = 2, s[1]
	case len(s) >= 2 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0: // C1 in UTF-8: the same as ESC and a letter
		intro, kind = 2, s[1]-0x40
	default:
		return 0
	}
	switch kind {
	case '[': // control sequence: parameters, then one final byte
		for i := intro; i < len(s) && s[i] >= 0x20; i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
	case ']', 'P', 'X', '^', '_': // strings: up to BEL or ESC \
		for i := intro; i < len(s) && s[i] != '\n'; i++ {
			switch {
			case s[i] == 0x07:
				return i + 1
			case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x9c:
				return i + 2
			}
		}
	case '(', ')', '*', '+', '#', '%': // one byte more: character sets
		if len(s) > intro && s[intro] > 0x20 && s[intro] < 0x7f {
			return intro + 1
		}
	}
	if kind < 0x20 || kind > 0x7e {
		return 1
	}
	return intro
}
