package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newAuth is NewBasicAuth for one scope, and cheap.
func newAuth(t *testing.T, user, password string) *BasicAuth {
	t.Helper()
	b, err := hashed("scope", user, password, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestBasicAuth(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.echo("/echo")
	g.deploy(Service{Name: "a", BasicAuth: newAuth(t, "ann", "s3cret:word")}, a.Target, 1)
	for name, tt := range map[string]struct {
		header string
		want   int
	}{
		"nothing":         {"", 401},
		"right":           {basic("ann", "s3cret:word"), 200},
		"right again":     {basic("ann", "s3cret:word"), 200},
		"another word":    {basic("ann", "s3cret:worm"), 401},
		"no word":         {basic("ann", ""), 401},
		"another user":    {basic("bob", "s3cret:word"), 401},
		"another scheme":  {"Bearer abc", 401},
		"no base64":       {"Basic %%%", 401},
		"the hash itself": {basic("ann", newAuth(t, "ann", "s3cret:word").Hash), 401},
	} {
		var header []string
		if tt.header != "" {
			header = []string{"Authorization", tt.header}
		}
		before := a.requests.Load()
		resp, body := g.get("/", header...)
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if tt.want == 401 && (resp.Header.Get("WWW-Authenticate") != `Basic realm="a", charset="UTF-8"` || a.requests.Load() != before) {
			t.Errorf("%s: %v, %d requests reached the app", name, resp.Header, a.requests.Load()-before)
		}
	}
	if got := g.echoed("/echo", "Authorization", basic("ann", "s3cret:word")).Header; got.Get("Authorization") != "" {
		t.Errorf("the app saw %v", got)
	}
	st, err := g.Status(t.Context())
	b, _ := json.Marshal(st)
	if err != nil || !strings.Contains(string(b), `"ann"`) || strings.Contains(string(b), hashName) {
		t.Errorf("%s, %v", b, err)
	}
	kept, err := os.ReadFile(filepath.Join(g.dir, "a.json"))
	if err != nil || !strings.Contains(string(kept), hashName) || strings.Contains(string(kept)+g.log.String(), "s3cret") {
		t.Errorf("%s, %v", kept, err)
	}
	g.deploy(Service{Name: "a"}, a.Target, 2)
	if got := g.echoed("/echo", "Authorization", "Bearer app").Header; got.Get("Authorization") != "Bearer app" {
		t.Errorf("without it the app saw %v", got)
	}
}

// TestGuardRemembers: only the first of many requests costs a hash, and only so many wait for theirs.
func TestGuardRemembers(t *testing.T) {
	g := newGuard(newAuth(t, "ann", "word"))
	if ok, err := g.admits(t.Context(), "ann", "word"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	g.hash = passwordHash{1, nil, nil} // no hash would match any more
	if ok, err := g.admits(t.Context(), "ann", "word"); !ok || err != nil {
		t.Error(ok, err)
	}
	for range maxVerifying {
		g.turn <- struct{}{}
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if ok, err := g.admits(gone, "ann", "other"); ok || !errors.Is(err, context.Canceled) {
		t.Error(ok, err)
	}
	g.waiting.Store(maxWaiting)
	if ok, err := g.admits(t.Context(), "ann", "other"); ok || !errors.Is(err, errBusy) {
		t.Error(ok, err)
	}
}

func TestBasicAuthIsChecked(t *testing.T) {
	good := newAuth(t, "ann", "word")
	if again := newAuth(t, "ann", "word"); *again != *good {
		t.Error("the same words, and another hash")
	}
	other, err := NewBasicAuth("another", "ann", "word")
	if err != nil || strings.Split(other.Hash, "$")[2] == strings.Split(good.Hash, "$")[2] {
		t.Errorf("%v, %v", other, err)
	}
	for _, bad := range []BasicAuth{{"", good.Hash}, {"a:b", good.Hash}, {"a\n", good.Hash}, {"ann", ""}, {"ann", "word"}, {"ann", good.Hash + "$"},
		{"ann", strings.Replace(good.Hash, "$1000$", "$60000000$", 1)}, {"ann", strings.Replace(good.Hash, "$1000$", "$-1$", 1)}, {"ann", good.Hash[:len(good.Hash)-8]}} {
		_, err := (Service{Name: "a", BasicAuth: &bad}).withDefaults()
		if err == nil || strings.Contains(err.Error(), "$") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := NewBasicAuth("scope", "ann", ""); err == nil {
		t.Error("an empty password is taken")
	}
	if resp := (&http.Request{}); newGuard(nil) != nil || !(&live{}).authorised(nil, resp) {
		t.Error("nobody asked for it")
	}
}
