package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct{ in, want, problem string }{
		{"plain", "plain", ""},
		{"", "", ""},
		{"a$b $5 $", "a$b $5 $", ""},
		{"$$ $$$$ $${VERSION}", "$ $$ ${VERSION}", ""},
		{"${VERSION}", "v7", ""},
		{"a-${VERSION}-${PORT}", "a-v7-3000", ""},
		{"${EMPTY}", "", ""},
		{"${VERSION:-x}", "v7", ""},
		{"${UNSET:-x}", "x", ""},
		{"${EMPTY:-x}", "x", ""},
		{"${UNSET:-}", "", ""},
		{"${UNSET:-${EMPTY:-${VERSION}}}!", "v7!", ""},
		{"${UNSET:-a$$b}", "a$b", ""},
		{"${UNSET:-a$$}", "a$", ""},
		{"${UNSET:-a:-b{c}", "a:-b{c", ""},
		{"${VERSION:?needed}", "v7", ""},
		{"${UNSET}", "", "variable UNSET is not set"},
		{"${UNSET:?say ${VERSION}}", "", "variable UNSET is not set: say v7"},
		{"${EMPTY:?}", "", "variable EMPTY is not set: "},
		{"${VERSION:-${UNSET}}", "", "variable UNSET is not set"},
		{"${", "", "${ without }"},
		{"${A", "", "${ without }"},
		{"${A:-${B}", "", "${ without }"},
		{"${}", "", "no variable name"},
		{"${1A}", "", "no variable name"},
		{"${A B}", "", "only ${NAME}"},
		{"${A-b}", "", "only ${NAME}"},
		{"${A:+b}", "", "only ${NAME}"},
		{"${\x1b[31m}", "", "${?[31m}"},
		{strings.Repeat("${U:-", 20) + strings.Repeat("}", 20), "", "nested too deeply"},
	} {
		x := &expander{lookup: getenv, left: maxExpanded}
		got, err := x.expand(c.in, 0)
		switch {
		case c.problem == "" && (err != nil || got != c.want):
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) || got != ""):
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.problem)
		}
	}
}

func TestExpandIsBounded(t *testing.T) {
	large := func(string) (string, bool) { return strings.Repeat("x", 1000), true }
	x := &expander{lookup: large, left: maxExpanded}
	if _, err := x.expand(strings.Repeat("${A}", 2000), 0); err == nil {
		t.Error("one value of 2 MB")
	}
	x = &expander{lookup: large, left: maxExpanded}
	var err error
	for range 2000 {
		if _, err = x.expand("${A}", 0); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("2000 values of 1 kB")
	}
}

// TestInterpolationKeepsStructure: what a variable holds is a value, never YAML, and never shown.
func TestInterpolationKeepsStructure(t *testing.T) {
	evil := func(string) (string, bool) { return "x\", evil: true }\nretain: 1\n- *a &b !!c", true }
	_, err := Load("ship.yaml", LoadOptions{Getenv: evil, ReadFile: func(string) ([]byte, error) {
		return []byte(head + "env: { A: \"${V}\" }\nsecrets_path: ${V}\n"), nil
	}})
	if err == nil || strings.Contains(err.Error(), "evil") {
		t.Errorf("line break in a path: %v", err)
	}
	app, err := Load("ship.yaml", LoadOptions{Getenv: evil, ReadFile: func(string) ([]byte, error) {
		return []byte(head + "env: { A: \"${V}\" }\n"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := evil(""); app.Roles[0].Env.Clear["A"] != want || app.Retain != 5 {
		t.Errorf("got %+v", app)
	}
}

// TestInterpolatedTypes: a variable is what its field wants, wherever it stands.
func TestInterpolatedTypes(t *testing.T) {
	app := mustLoad(t, head+"proxy: { app_port: \"${PORT}\", path_prefix: /a, strip_path_prefix: \"${STRIP}\", drain_timeout: \"${EMPTY:-1m}\" }\n"+
		"boot: { limit: \"${EMPTY:-25}%\" }\nlabels: { a: \"${PORT}\" }\n")
	p := app.Roles[0].Proxy
	if p.AppPort != 3000 || !p.StripPathPrefix || p.DrainTimeout.Minutes() != 1 || app.Boot.Percent != 25 || app.Roles[0].Labels["a"] != "3000" {
		t.Errorf("got %+v, %+v", app, p)
	}
	// an unused extension may name what is not set; a used one may not
	mustLoad(t, head+"x-a: { b: \"${UNSET}\" }\n")
	if _, err := load(t, head+"x-a: &a { b: \"${UNSET}\" }\nlabels: *a\n"); err == nil {
		t.Error("a variable that is not set was taken")
	}
}
