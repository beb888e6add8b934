package ui

import (
	"errors"
	"strings"
)

// message is what an error says, in as much detail as it has, and what to do about it.
func message(err error) (text, hint string) {
	text = err.Error()
	var detailed interface{ Detail() string }
	if errors.As(err, &detailed) {
		text = strings.TrimRight(detailed.Detail(), "\n")
	}
	return text, hintOf(err)
}

// hintOf is the first hint in the tree of err that says something: who wraps an error may have none of its own.
func hintOf(err error) string {
	if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
		return h.Hint()
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return hintOf(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if hint := hintOf(e); hint != "" {
				return hint
			}
		}
	}
	return ""
}

// each are the errors that were joined, one by one: each host has its own cause and its own way out.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	// an error that joins others and says something itself is one error
	parts := joined.Unwrap()
	texts := make([]string, 0, len(parts))
	for _, e := range parts {
		texts = append(texts, e.Error())
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	var all []error
	for _, e := range parts {
		all = append(all, each(e)...)
	}
	return all
}

// errorLines are an error for people: what happened, and "hint: ..." below.
func (s settings) errorLines(err error) []string {
	var all []string
	for _, e := range each(err) {
		text, hint := message(e)
		for _, l := range lines(text) {
			if strings.HasPrefix(l, "hint: ") {
				all = append(all, s.paint(cyan, l))
			} else {
				all = append(all, s.paint(red, l))
			}
		}
		if hint != "" {
			for _, l := range lines("hint: " + hint) {
				all = append(all, s.paint(cyan, l))
			}
		}
	}
	return all
}

// The colours, as SGR parameters.
const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
)

func (s settings) paint(color, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
