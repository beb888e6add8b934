// Package plain makes what hosts say fit to be shown.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes a foreign text fit for one line of output: white space becomes single blanks, escape sequences, control
// and format characters (which include the bidirectional ones) go, and at most limit bytes stay.
func Line(s string, limit int) string {
	var b strings.Builder
	blank, esc := false, escNone
	for _, r := range s {
		if b.Len() >= limit {
			break
		}
		if esc = esc.next(r); esc != escNone {
			continue
		}
		switch {
		case unicode.IsSpace(r):
			blank = b.Len() > 0
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r):
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	out := b.String()
	if len(out) > limit {
		out = strings.ToValidUTF8(out[:limit], "")
	}
	return out
}

// escape is where in an ANSI control sequence (ESC [ ... letter) a reader stands.
type escape int

const (
	escNone escape = iota
	escStart
	escBody
	escEnd
)

func (e escape) next(r rune) escape {
	switch {
	case r == '\x1b':
		return escStart
	case e == escStart && r == '[':
		return escBody
	case e == escStart:
		return escEnd
	case e == escBody && r >= 0x40 && r <= 0x7e:
		return escEnd
	case e == escBody:
		return escBody
	}
	return escNone
}
