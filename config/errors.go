package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ExitUsage is the exit code of every error of this package: what was asked for cannot be understood.
const ExitUsage = 80

// maxErrors is how many mistakes of one configuration are told. Whoever has more has another problem.
const maxErrors = 100

// Error is one mistake in a file.
type Error struct {
	File    string
	Line    int    // from 1; 0 = the file as a whole
	Column  int    // in characters, from 1
	Path    string // servers.web.hosts[0]; "" = the file as a whole
	Message string
	Hint    string // what to do about it; "" = the message says it

	source string // the line, for Detail; "" where it must not be shown
}

// Error is one line: ship.yaml:3:5: servers.web: unknown key "hots" (did you mean "hosts"?)
func (e Error) Error() string {
	s := e.head()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e Error) head() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}

// ProxyMistake is an error about a key below a role's proxy that shows only when the value is used. Its place is where the value
// was written, for the role or for all.
func (a *App) ProxyMistake(role, key, hint, message string) Error {
	e := Error{File: a.Files[0], Path: join("proxy", key), Message: message, Hint: hint}
	for _, path := range []string{join(join("servers", role), e.Path), e.Path} {
		if i := slices.IndexFunc(a.Origins, func(o Origin) bool { return o.Path == path }); i >= 0 {
			o := a.Origins[i]
			e.Path, e.File, e.Line, e.Column = path, o.File, o.Line, o.Column
			break
		}
	}
	return e
}

// Detail is the error over several lines, with the line it is about and a caret under the place.
func (e Error) Detail() string {
	var b strings.Builder
	b.WriteString(e.head() + "\n")
	if line, caret := excerpt(e.source, e.Column); e.Line > 0 && line != "" {
		number := fmt.Sprintf("%5d", e.Line)
		fmt.Fprintf(&b, "%s | %s\n", number, line)
		fmt.Fprintf(&b, "%*s | %s^\n", len(number), "", strings.Repeat(" ", caret))
	}
	if e.Hint != "" {
		b.WriteString("hint: " + e.Hint + "\n")
	}
	return b.String()
}

// excerpt is the part of a line around a column, safe for a terminal, and where in it the column is.
func excerpt(line string, column int) (string, int) {
	const width, before = 120, 80
	runes := []rune(printable(line))
	at := min(max(column-1, 0), len(runes))
	start := max(0, at-before)
	end := min(len(runes), start+width)
	return strings.TrimRight(string(runes[start:end]), " "), at - start
}

// printable replaces each character that a terminal would act on by one that it shows, so that columns stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case controls(r):
			return '?'
		}
		return r
	}, s)
}

// controls says whether a terminal or a log would act on r: C0, DEL, C1, line separators and bidirectional controls.
func controls(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 || r == 0x200e || r == 0x200f ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// Errors are all mistakes of a configuration, in the order of the files.
type Errors []Error

// Error is one line a mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Detail is Error with the lines that the mistakes are in.
func (e Errors) Detail() string {
	blocks := make([]string, len(e))
	for i := range e {
		blocks[i] = e[i].Detail()
	}
	return strings.Join(blocks, "\n")
}

// ExitCode is for cmd.
func (Errors) ExitCode() int { return ExitUsage }

// NotFoundError says that there is no configuration. It is fs.ErrNotExist.
type NotFoundError struct {
	Tried []string
}

func (e *NotFoundError) Error() string {
	return "no configuration found, tried " + strings.Join(e.Tried, ", ")
}

// Hint says what to do.
func (e *NotFoundError) Hint() string { return "ship init writes one, --config-file names one" }

// ExitCode is for cmd.
func (e *NotFoundError) ExitCode() int { return ExitUsage }

// Unwrap makes it fs.ErrNotExist.
func (e *NotFoundError) Unwrap() error { return fs.ErrNotExist }

// report gathers mistakes. What is found twice (an anchor used in two places) is told once.
type report struct {
	errs Errors
	seen map[string]bool
	more int
}

func (r *report) add(e Error) {
	key := e.head()
	if e.Line > 0 {
		key = fmt.Sprintf("%s:%d:%d:%s", e.File, e.Line, e.Column, e.Message)
	}
	if r.seen[key] {
		return
	}
	if len(r.errs) >= maxErrors {
		r.more++
		return
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[key] = true
	r.errs = append(r.errs, e)
}

// fail adds a mistake at n, unless one was told about it before: what follows from a mistake is none.
func (r *report) fail(n *node, path, hint, format string, args ...any) {
	if n.kind == broken {
		return
	}
	e := n.src.mistake(n.line, n.column, path, hint, fmt.Sprintf(format, args...))
	if private(path) {
		e.source = ""
	}
	r.add(e)
}

// private says whether the lines at a path may hold values that nobody wants in a log.
func private(path string) bool {
	parts := strings.Split(path, ".")
	return slices.Contains(parts, "env") || slices.Contains(parts, "basic_auth")
}

// result is nil or Errors, those of the files in their order.
func (r *report) result(files []string) error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.more > 0 {
		last := r.errs[len(r.errs)-1]
		r.errs = append(r.errs, Error{File: last.File, Message: fmt.Sprintf("%d more mistakes are not shown", r.more)})
	}
	return r.errs
}

// clip is s for a message: quoted, bounded, safe for a terminal.
func clip(s string) string {
	const limit = 60
	runes := []rune(printable(s))
	if len(runes) > limit {
		return `"` + string(runes[:limit]) + `..."`
	}
	return `"` + string(runes) + `"`
}
