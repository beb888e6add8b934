package config

import (
	"strings"
	"unicode/utf8"
)

// parseDotenv reads lines of KEY=value. It knows quotes, comments and "export", and no shell: what only a shell could
// do is an error, for a secret that reads "$(pass show db)" is worse than none. Its errors show no values.
func parseDotenv(name string, data []byte) (map[string]Secret, error) {
	p := &dotenv{name: name, rest: strings.ReplaceAll(string(data), "\r\n", "\n"), line: 1, values: make(map[string]Secret)}
	if !utf8.Valid(data) || strings.Contains(p.rest, "\x00") {
		return nil, Errors{{File: name, Message: "not UTF-8 text"}}
	}
	for p.rest != "" {
		if !p.entry() {
			p.cutLine() // what is left of the broken line
		}
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.values, nil
}

type dotenv struct {
	name   string
	rest   string
	line   int
	values map[string]Secret
	errs   Errors
}

func (p *dotenv) fail(message, hint string) bool {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, Error{File: p.name, Line: p.line, Column: 1, Message: message, Hint: hint})
	}
	return false
}

func (p *dotenv) cutLine() string {
	line, rest, found := strings.Cut(p.rest, "\n")
	p.rest = rest
	if found {
		p.line++
	}
	return line
}

// entry reads one line, or more if a quoted value goes on. False: the rest of the line is still there.
func (p *dotenv) entry() bool {
	line, _, _ := strings.Cut(p.rest, "\n")
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		p.cutLine()
		return true
	}
	before, after, found := strings.Cut(p.rest, "=")
	key := strings.TrimSpace(before)
	if word, name, cut := strings.Cut(key, " "); cut && word == "export" {
		key = strings.TrimSpace(name)
	}
	if !found || strings.Contains(before, "\n") || !isSecretName(key) {
		return p.fail("expected KEY=value", "# begins a comment; values over several lines need quotes")
	}
	if _, again := p.values[key]; again {
		return p.fail(key+" is set twice", "")
	}
	p.rest = strings.TrimLeft(after, " \t")
	value, ok := p.value(key)
	if ok {
		p.values[key] = NewSecret(value)
	}
	return ok
}

func (p *dotenv) value(key string) (string, bool) {
	if p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
		return p.unquoted(key)
	}
	quote := p.rest[0]
	body, size, problem := unquote(p.rest)
	if problem != "" {
		defer func() { p.rest = "" }() // where the value ends is not known, and so neither where the next one begins
		return "", p.fail(key+": "+problem, `in "..." only \n \r \t \" \\ and \$ are known; '...' takes everything as it is`)
	}
	if quote == '"' && runsCommand(p.rest[:size]) {
		return "", p.command(key)
	}
	p.line += strings.Count(p.rest[:size], "\n")
	p.rest = p.rest[size:]
	after, _, _ := strings.Cut(p.rest, "\n")
	if after = strings.TrimSpace(after); after != "" && after[0] != '#' {
		return "", p.fail(key+": text after the closing quote", "")
	}
	p.cutLine()
	return body, true
}

func (p *dotenv) unquoted(key string) (string, bool) {
	line, _, _ := strings.Cut(p.rest, "\n")
	value := line
	if i := strings.Index(" "+value, " #"); i >= 0 {
		value = value[:max(0, i-1)]
	}
	value = strings.TrimSpace(value)
	if runsCommand(value) || reference(value) {
		return "", p.command(key)
	}
	p.cutLine()
	return value, true
}

func (p *dotenv) command(key string) bool {
	return p.fail(key+": no shell reads this file, so $(...) is not run and $NAME stands for nothing",
		"put the value into the environment, which comes first, or into '...' if it is meant as it is")
}

func runsCommand(s string) bool {
	return strings.Contains(strings.ReplaceAll(s, `\$`, ""), "$(") || len(s) > 1 && s[0] == '`'
}

// reference says whether the value is nothing but $NAME or ${NAME}, as in files that a shell reads.
func reference(s string) bool {
	name, found := strings.CutPrefix(s, "$")
	if inner, braced := strings.CutPrefix(name, "{"); braced {
		name = strings.TrimSuffix(inner, "}")
	}
	return found && isSecretName(name) && !strings.ContainsAny(name, ".-")
}

// unquote reads a quoted text at the beginning of s and says how long it is there.
func unquote(s string) (value string, size int, problem string) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return b.String(), i + 1, ""
		case c == '\\' && quote == '"' && i+1 < len(s):
			i++
			at := strings.IndexByte(`nrt"\$`, s[i])
			if at < 0 {
				return "", 0, "a backslash before something else than an escape"
			}
			b.WriteByte("\n\r\t\"\\$"[at])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, "the quote is not closed"
}

// isSecretName says whether s can be the name of a secret: one that a shell can export, or with . and - in it.
func isSecretName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(isLetter(c) || c == '_' || i > 0 && (isDigit(c) || c == '.' || c == '-')) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}
