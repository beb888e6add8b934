package ui

import (
	"strings"
	"unicode"
)

const (
	maxLine  = 2000 // characters of one line of somebody's text
	maxLines = 200  // of one message
)

// clean makes one line of s that neither a terminal nor a CI runner acts on: no escape sequences, no control or
// formatting characters, no workflow commands.
func clean(s string) string {
	return defuse(visible(s))
}

// lines are the lines of s, each clean, not more than a person reads.
func lines(s string) []string {
	s = strings.TrimRight(s, "\r\n")
	all := strings.SplitN(strings.ReplaceAll(s, "\r\n", "\n"), "\n", maxLines+1)
	if len(all) > maxLines {
		all[maxLines] = "..."
	}
	for i := range all {
		all[i] = clean(all[i])
	}
	return all
}

// visible takes out escape sequences and every character that is not shown.
func visible(s string) string {
	var b strings.Builder
	var escape escapes
	count := 0
	for _, r := range s {
		if escape.eats(r) {
			continue
		}
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			r = ' '
		case !shown(r):
			continue
		}
		if count++; count > maxLine {
			b.WriteString("...")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// shown says whether r is something to see, and not an instruction to whoever shows it: control characters, marks of
// direction, joiners, separators of lines.
func shown(r rune) bool {
	if r < 0x7f {
		return r >= 0x20
	}
	return !unicode.IsControl(r) && !unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// escapes finds the characters of escape sequences (ECMA-48): they are shown as rubbish once their ESC is gone.
type escapes int

const (
	outside    escapes = iota
	afterESC           // ESC was seen
	inSequence         // ESC [ ... up to a letter
	inString           // ESC ] ... up to BEL or ESC \
)

func (e *escapes) eats(r rune) bool {
	switch {
	case r == '\x1b':
		*e = afterESC
		return true
	case *e == afterESC && r == '[':
		*e = inSequence
	case *e == afterESC && (r == ']' || r == 'P' || r == '_' || r == '^' || r == 'X'):
		*e = inString
	case *e == afterESC:
		*e = outside
	case *e == inSequence && (r < 0x20 || r > 0x3f): // the final character; a control character ends it too
		*e = outside
		return r > 0x3f && r < 0x7f
	case *e == inString && (r == '\a' || r == '\n'):
		*e = outside
	case *e == outside:
		return false
	}
	return true
}

// defuse breaks the commands that runners look for in logs: GitHub's and Azure's.
func defuse(s string) string {
	if trimmed := strings.TrimLeftFunc(s, unicode.IsSpace); strings.HasPrefix(trimmed, "::") {
		s = s[:len(s)-len(trimmed)] + ": " + trimmed[1:]
	}
	s = strings.ReplaceAll(s, "##[", "# #[")
	return strings.ReplaceAll(s, "##vso[", "# #vso[")
}

// width is how many columns s takes on a terminal; s is clean.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// fit cuts s to so many columns.
func fit(s string, columns int) string {
	if width(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n >= columns { // one column is for the sign that there is more
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills s with spaces up to so many columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-width(s)))
}
