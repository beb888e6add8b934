package config

import "strings"

type kind int

const (
	scalar kind = iota
	list
	mapping
	null
	broken // a mistake was told: nobody needs to look at it again
)

// node is a value with its place. Anchors are followed, merge keys applied, variables put in.
type node struct {
	kind         kind
	src          *source
	line, column int
	text         string  // of a scalar
	raw          string  // as written, if variables were put in
	tag          string  // !!str, !!int, ... as written; "" if variables were put in: then it is what the field wants
	items        []*node // of a list
	entries      []entry // of a mapping, keys unique
}

type entry struct {
	key          string
	line, column int // of the key
	src          *source
	value        *node
}

func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// what describes the node in "expected a list, got ...". It never shows the value of a variable.
func (n *node) what() string {
	switch {
	case n.kind == list:
		return "a list"
	case n.kind == mapping:
		return "a map"
	case n.kind == null:
		return "nothing"
	case n.raw != "":
		return "what " + clip(n.raw) + " stands for"
	case n.tag == "!!str":
		return "the text " + clip(n.text)
	}
	return printable(clipped(n.text))
}

// shown is the scalar for a message: as written, so that no variable's value gets into a log.
func (n *node) shown() string {
	switch {
	case n.raw != "":
		return clip(n.raw)
	case n.tag == "!!int" || n.tag == "!!float":
		return printable(clipped(n.text))
	}
	return clip(n.text)
}

// source is a file's text.
type source struct {
	name  string
	lines []string
}

func newSource(name string, data []byte) *source {
	return &source{name: name, lines: strings.Split(string(data), "\n")}
}

func (s *source) mistake(line, column int, path, hint, message string) Error {
	e := Error{File: s.name, Line: line, Column: column, Path: path, Message: message, Hint: hint}
	if line >= 1 && line <= len(s.lines) {
		e.source = s.lines[line-1]
	}
	return e
}

// join extends the path of a value.
func join(path, key string) string {
	if key = printable(clipped(key)); path == "" {
		return key
	}
	return path + "." + key
}
