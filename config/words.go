package config

import (
	"strings"
)

// splitWords cuts a command at its spaces, with the quotes and backslashes of a shell and nothing else of it: what
// only a shell could do is refused, so that nobody believes it is done.
func splitWords(s string) ([]string, error) {
	const shell = `write sh -c '...' for a shell, or a list of words`
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\':
			if i++; i == len(s) {
				return nil, hinted{"ends in a backslash", shell}
			}
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(s[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(s[i])
			inWord = true
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		case strings.IndexByte("|&;<>()$`*?", c) >= 0:
			return nil, hinted{"no shell reads this command, so " + string(c) + " has no meaning in it", shell}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, hinted{"a quote is not closed", shell}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
