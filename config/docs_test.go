package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// home is an environment that has nothing else.
func home(name string) (string, bool) { return "/home/ann", name == "HOME" }

// TestDocs loads every YAML snippet of the reference: alone if it is a whole file, else together with what it lacks.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(snippets) < 20 {
		t.Fatalf("found %d snippets", len(snippets))
	}
	for _, s := range snippets {
		base, over := string(s[1]), ""
		if strings.HasPrefix(base, "# ship.staging.yaml\n") {
			base, over = head+"boot: { limit: 1 }\n", base
		}
		for _, key := range []string{"service: shop", "image: shop", "servers: [web-1]"} {
			name, _, _ := strings.Cut(key, ":")
			if !regexp.MustCompile(`(?m)^` + name + `:`).MatchString(base) {
				base += key + "\n"
			}
		}
		o := LoadOptions{Getenv: home, ReadFile: func(path string) ([]byte, error) {
			switch path {
			case "ship.yaml":
				return []byte(base), nil
			case "ship.staging.yaml":
				return []byte(over), nil
			}
			return nil, fs.ErrNotExist
		}}
		if over != "" {
			o.Destination = "staging"
		}
		if _, err := Load("ship.yaml", o); err != nil {
			t.Errorf("%v\nin\n%s%s", err, base, over)
		}
	}
	for _, s := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1) {
		if values, err := parseDotenv("secrets", s[1]); err != nil || len(values) == 0 {
			t.Errorf("%v\nin\n%s", err, s[1])
		}
	}
}

// TestDocsErrors: the errors in the reference are what a reader would get.
func TestDocsErrors(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, err = load(t, "service: shop\nimage: shop\nservers:\n  web:\n    hots: [web-1]\n    hosts: [web-1]\nproxy:\n  app_port: 70000\n")
	var errs Errors
	if !errors.As(err, &errs) || !strings.Contains(string(text), "```\n"+errs.Detail()+"```\n") {
		t.Errorf("not in the reference:\n%s", errs.Detail())
	}
}

// TestDocsAreComplete: each key of the file that has them all is in the reference.
func TestDocsAreComplete(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	app, err := Load(filepath.Join(testdata, "good/full.yaml"), LoadOptions{Getenv: home})
	if err != nil {
		t.Fatal(err)
	}
	free := regexp.MustCompile(`^(env\.(clear|secret)|labels|proxy\.redirects|ssh\.host_keys|servers\.\w+\.(env|labels)|transfer\.groups|volumes)\b`)
	for _, o := range app.Origins {
		path := regexp.MustCompile(`\[\d+\]`).ReplaceAllString(o.Path, "")
		if m := free.FindString(path); m != "" {
			path = m
		}
		key := path[strings.LastIndex(path, ".")+1:]
		if !regexp.MustCompile("`([a-z_.*]+\\.)?" + regexp.QuoteMeta(key) + "`").Match(text) {
			t.Errorf("%s: nothing about `%s`", o.Path, key)
		}
	}
}
