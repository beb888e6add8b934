package sshx

import "strings"

// Quote makes one line for a remote shell that has exactly these words, whatever is in them. It is the only place where
// a remote command is put together.
//
// Everything stands in single quotes, also what would not need it: a word is then never an alias, a keyword or an
// assignment. Quote, backslash and exclamation mark stand outside of them behind a backslash, because fish and csh give
// the latter two a meaning inside. A NUL cannot be in a word; commands that have one are refused.
func Quote(words ...string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('\'')
		for {
			n := strings.IndexAny(w, `'\!`)
			if n < 0 {
				break
			}
			b.WriteString(w[:n])
			b.WriteString(`'\`)
			b.WriteByte(w[n])
			b.WriteByte('\'')
			w = w[n+1:]
		}
		b.WriteString(w)
		b.WriteByte('\'')
	}
	return b.String()
}
