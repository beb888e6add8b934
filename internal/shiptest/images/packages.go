package images

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// pkg is an installed Debian package.
type pkg struct {
	name     string
	required bool // by Debian's policy, in every system
	depends  []string
}

// readStatus reads dpkg's status file. Packages that others provide under another name are listed under both.
func readStatus(r io.Reader) (map[string]pkg, error) {
	all := map[string]pkg{}
	fields := map[string]string{}
	end := func() {
		p := pkg{name: fields["Package"], required: fields["Priority"] == "required"}
		p.depends = append(names(fields["Pre-Depends"]), names(fields["Depends"])...)
		if p.name != "" {
			all[p.name] = p
			for _, other := range names(fields["Provides"]) {
				if _, there := all[other]; !there {
					all[other] = p
				}
			}
		}
		clear(fields)
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		key, value, ok := strings.Cut(s.Text(), ":")
		switch {
		case s.Text() == "":
			end()
		case ok && !strings.HasPrefix(key, " "):
			fields[key] = strings.TrimSpace(value)
		}
	}
	end()
	return all, s.Err()
}

// names lists the packages of a relationship field, alternatives included: "libc6 (>= 2.36), perl:any | perl5".
func names(field string) []string {
	return strings.FieldsFunc(strip(field), func(r rune) bool { return r == ',' || r == '|' || r == ' ' })
}

// strip drops versions, in brackets, and architectures, after a colon.
func strip(field string) string {
	var kept strings.Builder
	in, colon := false, false
	for _, c := range field {
		switch {
		case c == '(' || c == '[':
			in = true
		case c == ')' || c == ']':
			in = false
		case c == ':':
			colon = true
		case strings.ContainsRune(" ,|", c):
			colon = false
		}
		if !in && !colon && c != ')' && c != ']' {
			kept.WriteRune(c)
		}
	}
	return kept.String()
}

// closure is the required packages, those named and all that they depend on.
func closure(all map[string]pkg, named ...string) map[string]bool {
	in := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		p, installed := all[name]
		if !installed || in[p.name] {
			return
		}
		in[p.name] = true
		for _, d := range p.depends {
			visit(d)
		}
	}
	for name, p := range all {
		if p.required {
			visit(name)
		}
	}
	for _, name := range named {
		visit(name)
	}
	return in
}

// filesOf is the set of files of those packages in a root file system that are not in the base set, by their names
// below the root. Folders are in it too.
func filesOf(root string, base map[string]bool) (map[string]bool, error) {
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/dpkg/info/*.list"))
	if err != nil {
		return nil, err
	}
	files := map[string]bool{}
	for _, list := range lists {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
		if base[name] {
			continue
		}
		b, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			files[merged(strings.Trim(line, "/.\n"))] = true
		}
	}
	return files, nil
}

// merged is where a file lies since /bin, /lib and /sbin are links into /usr.
func merged(name string) string {
	for _, top := range []string{"bin/", "lib/", "lib64/", "sbin/"} {
		if strings.HasPrefix(name, top) {
			return "usr/" + name
		}
	}
	return name
}
