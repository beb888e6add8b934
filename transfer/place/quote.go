package place

import "strings"

// quote makes one line for a login shell, sh, csh or fish alike, that has exactly these words.
func quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		var b strings.Builder
		b.WriteByte('\'')
		for _, c := range []byte(w) {
			switch c {
			case '\'', '\\', '!': // csh and fish give the latter two a meaning inside quotes
				b.WriteString(`'\`)
				b.WriteByte(c)
				b.WriteByte('\'')
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('\'')
		quoted[i] = b.String()
	}
	return strings.Join(quoted, " ")
}
