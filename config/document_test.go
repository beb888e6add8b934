package config

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v4"
)

// reload makes the app anew from its own document.
func reload(t *testing.T, app *App) {
	t.Helper()
	text, err := yaml.Marshal(app.Document())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load("ship.yaml", LoadOptions{ReadFile: func(string) ([]byte, error) { return text, nil }})
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	want := *app
	want.Files, want.Origins, again.Files, again.Origins = nil, nil, nil, nil
	want.Destination, want.SecretFiles = "", want.SecretFiles[len(want.SecretFiles)-1:] // they are not in the file
	if !reflect.DeepEqual(again, &want) {
		t.Fatalf("got  %+v\nwant %+v\nfrom\n%s", again, &want, text)
	}
}

func TestDocument(t *testing.T) {
	for _, name := range []string{"minimal", "full", "kamal", "ship"} {
		app, err := Load(filepath.Join(testdata, "good", name+".yaml"), LoadOptions{Getenv: getenv})
		if err != nil {
			t.Fatal(err)
		}
		reload(t, app)
		text, err := json.Marshal(app.Document())
		var o struct {
			Service string
			Servers map[string]struct{ Hosts []string }
		}
		if err != nil || json.Unmarshal(text, &o) != nil || o.Service != "shop" || len(o.Servers) != len(app.Roles) {
			t.Errorf("%s: %v, %s", name, err, text)
		}
	}
}

func TestDocumentOfOddValues(t *testing.T) {
	reload(t, mustLoad(t, head+`env: { "<<x": "$$HOME $${A}", "NULL": "null", MULTI: "a\nb\t\u2028", "true": yes, EMPTY: "", N: 010, C: "# c", T: " x " }
labels: { "<<": "~", null2: "- a" }
`))
	reload(t, mustLoad(t, `service: "0123"
image: "true"
servers: { "null": [ "x~", "0x10", "2001-01-01" ], web: { hosts: [a], cmd: ["x", "", "a b", "$${X}", "line\nbreak"], proxy: false } }
proxy: { deploy_timeout: 7 }
`))
}
