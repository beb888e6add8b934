// Package plain makes what hosts say fit to be shown: on a terminal, in a log, by a CI system. Escape sequences go as a
// whole, then every character that is not visible, the bidirectional and zero-width ones included, and what is no UTF-8.
package plain

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut stands where Text left something out.
const cut = "…"

// Text keeps newlines and tabs; CR LF becomes a newline. At most limit bytes remain, the last of them "…" if something
// was cut; the result is valid UTF-8.
func Text(s string, limit int) string {
	var b strings.Builder
	for r := range characters(s) {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return shorten(b.String(), limit)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Line makes one line: white space becomes single blanks, none at its ends. At most the first limit bytes remain, without
// a mark; the result is valid UTF-8.
func Line(s string, limit int) string {
	var b strings.Builder
	blank := 0
	for r := range characters(s) {
		switch {
		case unicode.IsSpace(r):
			blank = min(b.Len(), 1)
			continue
		case !unicode.IsGraphic(r):
			continue
		}
		if b.Len()+blank+utf8.RuneLen(r) > limit {
			break
		}
		if blank > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		blank = 0
	}
	return b.String()
}

// characters are those of s without escape sequences and what is no UTF-8.
func characters(s string) iter.Seq[rune] {
	return func(yield func(rune) bool) {
		for len(s) > 0 {
			if n := escape(s); n > 0 {
				s = s[n:]
				continue
			}
			r, n := utf8.DecodeRuneInString(s)
			s = s[n:]
			if r == utf8.RuneError && n == 1 {
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
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
