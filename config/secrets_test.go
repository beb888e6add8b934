package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const sentinel = "s3ntinel"
	s := NewSecret(sentinel)
	type around struct {
		Open   Secret
		hidden Secret
		ptr    *Secret
	}
	values := []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, around{s, s, &s}, &around{s, s, &s}, errors.Join(fmt.Errorf("x %s", s))}
	var out bytes.Buffer
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := yaml.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v, slog.Group("g", "v", v))
		}
	}
	for _, form := range []string{sentinel, fmt.Sprintf("%x", sentinel), fmt.Sprintf("%X", sentinel)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) || s.Reveal() != sentinel || (Secret{}).Reveal() != "" {
		t.Error("a secret does not print as redacted, or does not reveal itself")
	}
}

func secretApp(t *testing.T, text string, mode os.FileMode) *App {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // the umask would have a say in WriteFile's
		t.Fatal(err)
	}
	return &App{SecretFiles: []string{path}}
}

func TestResolve(t *testing.T) {
	app := secretApp(t, "TOKEN=from-file\nDB=postgres://x\n", 0o600)
	src, warnings, err := app.OpenSecrets(getenv)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	env := Env{map[string]string{"A": "1"}, []SecretRef{{"DATABASE_URL", "DB"}, {"TOKEN", "TOKEN"}}}
	clear, secret, err := env.Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	if clear["A"] != "1" || len(secret) != 2 || secret["DATABASE_URL"].Reveal() != "postgres://x" || secret["TOKEN"].Reveal() != "hunter2" {
		t.Errorf("got %v, %v: the environment comes before the file", clear, secret)
	}
	clear["A"] = "changed"
	if env.Clear["A"] != "1" {
		t.Error("the result shares the app's map")
	}
}

func TestResolveMissing(t *testing.T) {
	app := &App{SecretFiles: secretFiles(filepath.Join(t.TempDir(), "none"), "staging")}
	app.Roles = []Role{{Env: Env{Secret: []SecretRef{{"B", "B"}, {"C", "A"}}}}, {Env: Env{Secret: []SecretRef{{"B", "B"}, {"Z", "Z"}}}}}
	src, _, err := app.OpenSecrets(nil)
	if err != nil {
		t.Fatal(err)
	}
	var missing *MissingSecretsError
	if err := app.CheckSecrets(src); !errors.As(err, &missing) || !slices.Equal(missing.Names, []string{"A", "B", "Z"}) {
		t.Fatalf("got %v", err)
	}
	if missing.ExitCode() != 80 || !strings.Contains(missing.Error(), ".staging or ") || !strings.Contains(missing.Hint(), "A=") {
		t.Errorf("got %v, %s", missing, missing.Hint())
	}
}

func TestSecretsOfDestination(t *testing.T) {
	dir := t.TempDir()
	app := &App{SecretFiles: secretFiles(filepath.Join(dir, "secrets"), "staging")}
	for name, text := range map[string]string{"secrets": "A=common\nB=common\n", "secrets.staging": "A=staging\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src, _, err := app.OpenSecrets(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := src.Lookup("A")
	b, _ := src.Lookup("B")
	if a.Reveal() != "staging" || b.Reveal() != "common" {
		t.Errorf("got %s, %s: the destination's file lies over the common one", a.Reveal(), b.Reveal())
	}
}

func TestSecretFileMode(t *testing.T) {
	for mode, warn := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true, 0o602: true} {
		_, warnings, err := secretApp(t, "A=1\n", mode).OpenSecrets(nil)
		if err != nil || (len(warnings) == 1) != warn {
			t.Errorf("mode %o: %q, %v", mode, warnings, err)
		}
	}
}

func TestSecretWithNUL(t *testing.T) {
	src := &SecretSource{getenv: func(string) (string, bool) { return "a\x00b", true }}
	if _, _, err := (Env{Secret: []SecretRef{{"A", "A"}}}).Resolve(src); err == nil || strings.Contains(err.Error(), "b") && strings.Contains(err.Error(), "\x00") {
		t.Errorf("got %v", err)
	}
}

func TestDotenv(t *testing.T) {
	text := "# comment\n\nPLAIN=a b  \nexport EXPORTED=x\n SPACED = y # comment\nHASH=a#b\nEMPTY=\nEMPTY2= # c\n" +
		"SINGLE='a $(b) \\n # \"c\"' # comment\nDOUBLE=\"a\\nb\\t\\\"c\\\" \\\\ \\$(d) # e\"\n" +
		"PEM=\"-----BEGIN-----\nabc=\n-----END-----\n\"\nMULTI='a\nb'\nDOLLAR=pa$word$\nURL=postgres://u:p@h/db?a=b\r\nLAST=z"
	got, err := parseDotenv("secrets", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PLAIN": "a b", "EXPORTED": "x", "SPACED": "y", "HASH": "a#b", "EMPTY": "", "EMPTY2": "",
		"SINGLE": `a $(b) \n # "c"`, "DOUBLE": "a\nb\t\"c\" \\ $(d) # e", "PEM": "-----BEGIN-----\nabc=\n-----END-----\n",
		"MULTI": "a\nb", "DOLLAR": "pa$word$", "URL": "postgres://u:p@h/db?a=b", "LAST": "z"}
	for k, v := range want {
		if got[k].Reveal() != v {
			t.Errorf("%s: got %q, want %q", k, got[k].Reveal(), v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d values, want %d", len(got), len(want))
	}
}

func TestDotenvErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
	}{
		{"hunter2", 1},
		{"A=1\nhunter2\nB=2", 2},
		{"1A=hunter2", 1},
		{"A B=hunter2", 1},
		{"A=hunter2\nA=hunter2", 2},
		{"A='x\ny'\nB='hunter2", 3},
		{"A=\"hunter2", 1},
		{`A="hunter2\d"`, 1},
		{"A='hunter2' hunter2", 1},
		{"A='hunter2\nx' hunter2", 2},
		{"A=$(hunter2)", 1},
		{"A=\"x $(hunter2)\"", 1},
		{"A=`hunter2`", 1},
		{"A=$HOME", 1},
		{"A=${HOME}", 1},
		{"A=hunter2\x00", 0},
		{"A=\xff", 0},
	} {
		got, err := parseDotenv("secrets", []byte(c.text))
		var errs Errors
		if !errors.As(err, &errs) || got != nil || len(errs) != 1 || errs[0].Line != c.line {
			t.Errorf("%q: got %v, %v, want an error in line %d", c.text, got, err, c.line)
			continue
		}
		if strings.Contains(errs.Detail(), "hunter2") {
			t.Errorf("%q: the error shows the value: %s", c.text, errs.Detail())
		}
	}
}
