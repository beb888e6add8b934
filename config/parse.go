package config

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxNodes = 50_000 // values of one file once anchors are followed: an alias bomb ends here
	maxDepth = 32
)

// parse turns a file into nodes. It reports what is wrong and returns what could be read, a mapping or nil.
func parse(src *source, data []byte, x *expander, r *report) *node {
	if !utf8.Valid(data) {
		r.add(src.mistake(badLine(data), 1, "", "", "not UTF-8 text"))
		return nil
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(data)),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(4*maxDepth))))
	if err != nil {
		r.add(src.mistake(0, 0, "", "", err.Error()))
		return nil
	}
	var doc, next yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		r.add(src.mistake(0, 0, "", "ship init writes a first one", "the file is empty"))
		return nil
	} else if err != nil {
		r.add(syntax(src, err))
		return nil
	}
	if err := loader.Load(&next); err == nil {
		r.add(src.mistake(next.Line, next.Column, "", "", "a second document (---) in the file"))
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.add(syntax(src, err))
	}
	b := &builder{src: src, expander: x, report: r}
	n := b.root(&doc)
	if b.nodes > maxNodes {
		return nil
	}
	return n
}

func badLine(data []byte) int {
	line := 1
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		if c == utf8.RuneError && size == 1 {
			break
		}
		if c == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
}

// syntax makes one of our errors from one of the parser's.
func syntax(src *source, err error) Error {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return src.mistake(0, 0, "", "", "not valid YAML: "+printable(clipped(err.Error())))
	}
	line, column := le.Mark.Line, le.Mark.Column
	// where a construct begins tells more than where the parser gave up waiting for its end
	if le.ContextMark.Line > 0 && strings.HasPrefix(le.Message, "did not find") {
		line, column = le.ContextMark.Line, le.ContextMark.Column
	}
	e := src.mistake(line, column, "", "", "not valid YAML: "+printable(clipped(le.Message)))
	switch {
	case strings.Contains(e.source, "${") && strings.ContainsAny(e.source, "{["):
		e.Hint = "inside [...] and {...}, put quotes around values with ${...}"
	case strings.Contains(le.Message, " tab ") || strings.HasPrefix(e.source, "\t"):
		e.Hint = "YAML is indented with spaces, not with tabs"
	case strings.Contains(le.Message, "mapping values are not allowed"):
		e.Hint = "check the indentation, and put quotes around values with \": \" in them"
	}
	return e
}

// builder makes nodes from the parser's.
type builder struct {
	src      *source
	expander *expander
	report   *report
	nodes    int
}

func (b *builder) fail(y *yaml.Node, path, hint, format string, args ...any) {
	b.report.add(b.src.mistake(y.Line, y.Column, path, hint, fmt.Sprintf(format, args...)))
}

// root leaves out x-* keys: what is in them counts only where an alias uses it.
func (b *builder) root(doc *yaml.Node) *node {
	top := doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		top = doc.Content[0]
	}
	if top.Kind != yaml.MappingNode {
		b.fail(top, "", "", "expected a map of keys like service: and image:")
		return nil
	}
	plain := *top
	plain.Content = nil
	for i := 0; i+1 < len(top.Content); i += 2 {
		if k := top.Content[i]; k.Kind != yaml.ScalarNode || !strings.HasPrefix(k.Value, "x-") {
			plain.Content = append(plain.Content, k, top.Content[i+1])
		}
	}
	return b.build(&plain, "", 0)
}

// build never returns nil; where something is wrong, it reports that and returns a broken node.
func (b *builder) build(y *yaml.Node, path string, depth int) *node {
	n := &node{kind: broken, src: b.src, line: y.Line, column: y.Column}
	if b.nodes++; b.nodes > maxNodes {
		if b.nodes == maxNodes+1 {
			b.fail(y, "", "", "more than %d values, counting each use of an anchor", maxNodes)
		}
		return n
	}
	if depth > maxDepth {
		b.fail(y, "", "an anchor may contain itself", "nested more than %d deep", maxDepth)
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		return b.build(y.Alias, path, depth+1)
	case yaml.SequenceNode:
		n.kind = list
		for i, item := range y.Content {
			n.items = append(n.items, b.build(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case yaml.MappingNode:
		n.kind = mapping
		b.mapping(n, y, path, depth)
	case yaml.ScalarNode:
		b.scalar(n, y, path)
	}
	return n
}

func (b *builder) scalar(n *node, y *yaml.Node, path string) {
	switch tag := y.ShortTag(); tag {
	case "!!null":
		n.kind = null
		return
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
		n.kind, n.text, n.tag = scalar, y.Value, tag
	default:
		b.fail(y, path, "", "the tag %s is not allowed", clip(tag))
		return
	}
	if !strings.Contains(y.Value, "$") {
		return
	}
	text, err := b.expander.expand(y.Value, 0)
	if err != nil {
		n.kind = broken
		b.fail(y, path, "", "%s", err)
		return
	}
	if strings.Contains(y.Value, "${") {
		n.raw, n.tag = y.Value, ""
	}
	n.text = text
}

func (b *builder) mapping(n *node, y *yaml.Node, path string, depth int) {
	first := make(map[string]int)
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		switch {
		case k.Kind == yaml.AliasNode && k.Alias.Kind == yaml.ScalarNode:
			k = k.Alias
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			b.fail(k, path, "put quotes around it if it is meant as text", "a key must be text")
			continue
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, b.merged(v, path, depth)...)
			continue
		}
		at := join(path, k.Value)
		if line, again := first[k.Value]; again {
			b.fail(k, at, "", "set twice, the first time in line %d", line)
			continue
		}
		first[k.Value] = k.Line
		n.entries = append(n.entries, entry{key: k.Value, line: k.Line, column: k.Column, src: b.src, value: b.build(v, at, depth+1)})
	}
	for _, m := range merged {
		for _, e := range m.entries {
			if _, own := first[e.key]; !own {
				first[e.key] = e.line
				n.entries = append(n.entries, e)
			}
		}
	}
}

// merged are the maps that a merge key (<<) names.
func (b *builder) merged(y *yaml.Node, path string, depth int) []*node {
	n := b.build(y, path, depth+1)
	maps := []*node{n}
	if n.kind == list {
		maps = n.items
	}
	for _, m := range maps {
		if m.kind == broken {
			return nil
		}
		if m.kind != mapping {
			b.fail(y, path, "", "<< takes a map or a list of maps")
			return nil
		}
	}
	return maps
}
