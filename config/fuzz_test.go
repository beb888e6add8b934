package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzLoad: bytes from anybody give an app that keeps its promises, or Errors that are safe to print.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"good/*.yaml", "bad/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(testdata, pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, []byte("boot: { limit: 1 }\nservers: [a]\n"))
		}
	}
	f.Fuzz(func(t *testing.T, base, over []byte) {
		o := LoadOptions{Getenv: getenv, Destination: "x", ReadFile: func(path string) ([]byte, error) {
			switch path {
			case "ship.yaml":
				return base, nil
			case "ship.x.yaml":
				return over, nil
			}
			return nil, fs.ErrNotExist
		}}
		app, err := Load("ship.yaml", o)
		again, _ := Load("ship.yaml", o)
		if !reflect.DeepEqual(app, again) {
			t.Fatal("the same bytes, another app")
		}
		if err != nil {
			checkErrors(t, app, err)
			return
		}
		checkApp(t, app)
		reload(t, app)
	})
}

func checkErrors(t *testing.T, app *App, err error) {
	var errs Errors
	if app != nil || !errors.As(err, &errs) || len(errs) == 0 || len(errs) > maxErrors+1 {
		t.Fatalf("got %+v, %v", app, err)
	}
	for _, e := range errs {
		if strings.ContainsFunc(e.Error(), controls) {
			t.Fatalf("control characters in %q", e.Error())
		}
		if strings.ContainsFunc(strings.ReplaceAll(e.Detail(), "\n", ""), controls) || strings.Count(e.Detail(), "\n") > 4 {
			t.Fatalf("control characters in %q", e.Detail())
		}
		if len(e.Detail()) > 4096 {
			t.Fatalf("an error of %d bytes", len(e.Detail()))
		}
	}
}

func checkApp(t *testing.T, app *App) {
	if checkName(app.Service) != nil || app.Image == "" || len(app.Roles) == 0 || app.Retain < 1 || len(app.SecretFiles) != 2 {
		t.Fatalf("got %+v", app)
	}
	for _, r := range app.Roles {
		if checkName(r.Name) != nil || len(r.Hosts) == 0 || r.StopTimeout < 0 || r.DeployTimeout <= 0 || r.Labels == nil || r.Env.Clear == nil {
			t.Fatalf("got %+v", r)
		}
		for _, h := range r.Hosts {
			if checkHost(h) != nil || strings.HasPrefix(h, "-") {
				t.Fatalf("host %q", h)
			}
		}
		for _, v := range r.Volumes {
			if _, err := ParseVolume(v); err != nil {
				t.Fatal(err)
			}
		}
		if p := r.Proxy; p != nil && (p.AppPort < 1 || p.AppPort > 65535 || !strings.HasPrefix(p.PathPrefix, "/") || p.DrainTimeout < 0 || p.Probe.Successes < 1) {
			t.Fatalf("got %+v", p)
		}
	}
}

// FuzzDotenv: what is read survives being written in single quotes.
func FuzzDotenv(f *testing.F) {
	f.Add("A=b\nC='d'\nE=\"f\\n\"\n# g\nexport H=i")
	f.Add("A=$(b)\nC='")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseDotenv("secrets", []byte(text))
		if err != nil {
			checkErrors(t, nil, err)
			return
		}
		for name, value := range values {
			if strings.Contains(value.Reveal(), "'") {
				continue
			}
			again, err := parseDotenv("secrets", []byte(name+"='"+value.Reveal()+"'"))
			if err != nil || again[name].Reveal() != value.Reveal() {
				t.Fatalf("%s: %q became %q, %v", name, value.Reveal(), again[name].Reveal(), err)
			}
		}
	})
}
