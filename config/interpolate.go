package config

import (
	"errors"
	"fmt"
	"strings"
)

const (
	maxExpanded = 1 << 20 // bytes that all ${...} of a configuration may become together
	maxNested   = 8       // ${A:-${B:-...}}
)

// expander replaces ${NAME}, ${NAME:-default}, ${NAME:?message} and $$. A lone $ is text.
type expander struct {
	lookup func(string) (string, bool)
	left   int // bytes it may still produce
}

// expand also checks the parts that it does not need. Its errors never show a variable's value.
func (x *expander) expand(s string, depth int) (string, error) {
	if depth > maxNested {
		return "", errors.New("${...} nested too deeply")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		switch {
		case !found:
			if x.left -= b.Len(); x.left < 0 {
				return "", errors.New("variables make the configuration too large")
			}
			return b.String(), nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return "", errors.New("${ without }; write $$ for a dollar sign")
			}
			value, err := x.variable(rest[1:end], depth)
			if err != nil {
				return "", err
			}
			if b.Len()+len(value) > maxExpanded {
				return "", errors.New("variables make the configuration too large")
			}
			b.WriteString(value)
			s = rest[end+1:]
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}

// variable is the value of what stands between the braces.
func (x *expander) variable(body string, depth int) (string, error) {
	n := 0
	for n < len(body) && (body[n] == '_' || isLetter(body[n]) || n > 0 && isDigit(body[n])) {
		n++
	}
	name, rest := body[:n], body[n:]
	if name == "" {
		return "", fmt.Errorf("${%s} has no variable name", printable(clipped(body)))
	}
	operator := rest[:min(2, len(rest))]
	switch operator {
	case "", ":-", ":?":
	default:
		return "", fmt.Errorf("${%s}: only ${NAME}, ${NAME:-default} and ${NAME:?message} are known", printable(clipped(body)))
	}
	word, err := x.expand(rest[len(operator):], depth+1)
	if err != nil {
		return "", err
	}
	value, set := "", false
	if x.lookup != nil {
		value, set = x.lookup(name)
	}
	if !set {
		value = ""
	}
	switch {
	case operator == "" && !set:
		return "", fmt.Errorf("variable %s is not set", name)
	case operator == ":-" && value == "":
		return word, nil
	case operator == ":?" && value == "":
		return "", fmt.Errorf("variable %s is not set: %s", name, printable(clipped(word)))
	}
	return value, nil
}

// closing is the index of the } that belongs to the { at the beginning of s, or -1.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			i++
		case strings.HasPrefix(s[i:], "${"):
			depth++
			i++
		case i == 0:
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func clipped(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
