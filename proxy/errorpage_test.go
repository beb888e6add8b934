package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// give gives the proxy pages by their statuses, and returns what a service calls them.
func (g *gateway) give(pages map[int]string) map[string]string {
	g.t.Helper()
	named := map[string]string{}
	for status, page := range pages {
		if err := g.GiveErrorPage(g.t.Context(), []byte(page)); err != nil {
			g.t.Fatal(err)
		}
		named[strconv.Itoa(status)] = PageHash([]byte(page))
	}
	return named
}

// TestErrorPages: every answer of the proxy itself has the service's page, and none of the app's.
func TestErrorPages(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the app's own", http.StatusBadGateway) })
	a.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	pages := map[int]string{}
	for _, status := range ErrorStatuses() {
		pages[status] = "<p class=ours>" + strconv.Itoa(status) + ": {{ .Message }}"
	}
	auth, err := NewBasicAuth("a", "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	base := Service{ErrorPages: g.give(pages), ResponseTimeout: Duration(100 * time.Millisecond), MaxRequestBody: 10}
	open, paced, shut, locked, bare := base, base, base, base, base
	paced.RateLimit = &RateLimit{Requests: 1, Per: Duration(time.Hour), Burst: 1}
	shut.Allow, locked.BasicAuth, bare.ErrorPages = []string{"192.0.2.1"}, &auth, nil
	for name, s := range map[string]Service{"open": open, "paced": paced, "shut": shut, "locked": locked, "bare": bare} {
		s.Name, s.Hosts = name, []string{name + ".test"}
		g.deploy(s, a.Target, 1)
	}
	g.get("/", "Host", "paced.test")
	for _, c := range []struct {
		host, method, path string
		status             int
	}{
		{"open", "GET", "/slow", 504}, {"open", "GET", "/cut", 502}, {"open", "POST", "/post", 413},
		{"paced", "GET", "/", 429}, {"shut", "GET", "/", 403}, {"locked", "GET", "/", 401},
	} {
		ask := func(method string, header ...string) (*http.Response, string) {
			t.Helper()
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader("more than ten bytes")
			}
			resp := g.send(method, c.path, body, append(header, "Host", c.host+".test")...)
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp, string(b)
		}
		resp, body := ask(c.method)
		if resp.StatusCode != c.status || !strings.HasPrefix(body, "<p class=ours>"+strconv.Itoa(c.status)+": ") || strings.Contains(body, "{{") || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || resp.ContentLength != int64(len(body)) {
			t.Errorf("%+v: %d %v %q", c, resp.StatusCode, resp.Header, body)
		}
		if resp, body = ask(c.method, "Accept", "application/json"); resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(body, "{") {
			t.Errorf("%+v as JSON: %d %v %q", c, resp.StatusCode, resp.Header, body)
		}
	}
	if resp, body := g.get("/broken", "Host", "open.test"); resp.StatusCode != 502 || body != "the app's own\n" {
		t.Errorf("the app's answer: %d %q", resp.StatusCode, body)
	}
	if resp, body := g.get("/slow", "Host", "bare.test"); resp.StatusCode != 504 || strings.Contains(body, "ours") || !strings.Contains(body, "took too long") {
		t.Errorf("a service without pages: %d %q", resp.StatusCode, body)
	}
	if err := g.Halt(t.Context(), "open", Halt{Kind: Maintenance, Message: `back <at> "noon"`}); err != nil {
		t.Fatal(err)
	}
	if _, body := g.get("/", "Host", "open.test"); body != "<p class=ours>503: back &lt;at&gt; &#34;noon&#34;" {
		t.Errorf("maintenance: %q", body)
	}
	if resp := g.send("HEAD", "/", nil, "Host", "open.test"); resp.StatusCode != 503 || resp.ContentLength != int64(len("<p class=ours>503: back &lt;at&gt; &#34;noon&#34;")) {
		t.Errorf("HEAD: %d, %d bytes", resp.StatusCode, resp.ContentLength)
	}
	if err := g.Halt(t.Context(), "bare", Halt{Kind: Maintenance}); err != nil {
		t.Fatal(err)
	}
	if _, body := g.get("/", "Host", "bare.test"); strings.Contains(body, "ours") {
		t.Errorf("maintenance without pages: %q", body)
	}
}

// down is what a service that does not answer is answered with.
func (g *gateway) down() string {
	g.t.Helper()
	resp, body := g.get("/")
	if resp.StatusCode != http.StatusServiceUnavailable {
		g.t.Errorf("%d %q", resp.StatusCode, body)
	}
	return body
}

// TestErrorPagesFollowTheRelease: an undo has the pages of before, and so has a restart; a file that is gone or damaged leaves
// the proxy's own words.
func TestErrorPagesFollowTheRelease(t *testing.T) {
	dir := t.TempDir()
	at := func(o *Options) { o.StateDir, o.Hold = dir, 10*time.Millisecond }
	g, a := start(t, at), newApp(t, "v1")
	old, next := Service{Name: "a"}, Service{Name: "a"}
	old.ErrorPages, next.ErrorPages = g.give(map[int]string{503: "old"}), g.give(map[int]string{503: "new"})
	g.deploy(old, a.Target, 1)
	g.deploy(next, a.Target, 2)
	a.Close()
	if body := g.down(); body != "new" {
		t.Errorf("%q", body)
	}
	if err := g.Undo(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if body := g.down(); body != "old" {
		t.Errorf("after the undo: %q", body)
	}
	again := start(t, at) // takes over
	if body := again.down(); body != "old" {
		t.Errorf("after a hand-over: %q", body)
	}
	g.stop()
	again.stop()
	path := filepath.Join(dir, old.ErrorPages["503"]+pageSuffix)
	for what, spoil := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(path, []byte("other"), 0o600) },
		"gone":    func() error { return os.RemoveAll(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		g = start(t, at)
		if body := g.down(); !strings.Contains(body, "<h1>503 Service Unavailable</h1>") {
			t.Errorf("%s: %q", what, body)
		}
		if lacks, err := g.LacksErrorPages(t.Context(), []string{old.ErrorPages["503"], next.ErrorPages["503"]}); err != nil || !slices.Equal(lacks, []string{old.ErrorPages["503"]}) {
			t.Errorf("%s: lacks %q, %v", what, lacks, err)
		}
		g.stop()
	}
}

// TestErrorPagesThroughTheOldSocket: who still speaks to a proxy that has handed over reaches its successor.
func TestErrorPagesThroughTheOldSocket(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	g.deploy(Service{Name: "a"}, a.Target, 1)
	defer g.follow()() // what keeps the first proxy
	conn := g.client()
	defer conn.Close()
	if _, err := conn.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, func(o *Options) { o.StateDir, o.Socket = g.dir, g.socket })
	next := g.client()
	defer next.Close()
	page := []byte("late")
	if err := conn.GiveErrorPage(t.Context(), page); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Client{conn, next} {
		if lacks, err := c.LacksErrorPages(t.Context(), []string{PageHash(page), PageHash(nil)}); err != nil || !slices.Equal(lacks, []string{PageHash(nil)}) {
			t.Errorf("lacks %q, %v", lacks, err)
		}
	}
}

// TestSparePages: pages that nobody names are bounded; those of a service that serves, or is about to, stay.
func TestSparePages(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	serving, waiting := Service{Name: "a", ErrorPages: g.give(map[int]string{503: "serving"})}, Service{Name: "b", Hosts: []string{"b.test"}, ErrorPages: g.give(map[int]string{503: "waiting"})}
	g.deploy(serving, a.Target, 1)
	if _, err := g.Prepare(t.Context(), PrepareRequest{Service: waiting, Target: a.Target, Generation: 1, Timeout: 5 * time.Second}, nil); err != nil {
		t.Fatal(err)
	}
	var hashes []string
	for n := range 2 * maxSparePages / MaxErrorPages {
		page := bytes.Repeat([]byte{'a' + byte(n)}, MaxErrorPages)
		if err := g.GiveErrorPage(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, PageHash(page))
	}
	lacks, err := g.LacksErrorPages(t.Context(), append(hashes, serving.ErrorPages["503"], waiting.ErrorPages["503"]))
	if kept := maxSparePages/MaxErrorPages + 1; err != nil || !slices.Equal(lacks, hashes[:len(hashes)-kept]) {
		t.Errorf("%d of %d are gone, %v", len(lacks), len(hashes), err)
	}
}

// FuzzErrorPage: what is taken as a page is served as it was written but for its placeholders, and no message becomes HTML.
func FuzzErrorPage(f *testing.F) {
	for _, s := range []string{"", "plain", "a{{ .Message }}b", "{{.Message}}{{.Message}}", "{{", "}}", "{{ if }}", "{ {.Message} }", "{{{.Message}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, page string) {
		p, err := parseErrorPage([]byte(page))
		if err != nil {
			if p != nil {
				t.Error("a page in spite of an error")
			}
			return
		}
		if len(p) == 1 && string(p.with("x")) != page {
			t.Errorf("%q became %q", page, p)
		}
		if strings.Contains(strings.Join(p, "\x00"), "{{") || strings.Contains(string(errorPage{"", ""}.with("<&\"'>")), "<") {
			t.Errorf("%q", p)
		}
	})
}

func TestBadErrorPages(t *testing.T) {
	for page, want := range map[string]string{
		"": "empty", "\xff": "UTF-8", strings.Repeat("a", MaxErrorPages+1): "bytes",
		"a\n{{ if .Message }}": "line 2", "{{": "line 1", "{{ .Message": "line 1", "{{.Message}}\n\n{{ .Other }}": "line 3",
	} {
		if err := CheckErrorPage([]byte(page)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", page, err)
		}
	}
	g, a := start(t), newApp(t, "v1")
	var refused *refusedError
	if err := g.GiveErrorPage(t.Context(), []byte("\xff")); !errors.As(err, &refused) {
		t.Error(err)
	}
	if _, err := g.LacksErrorPages(t.Context(), []string{"../../etc/passwd"}); !errors.As(err, &refused) {
		t.Error(err)
	}
	for _, pages := range []map[string]string{{"500": PageHash(nil)}, {"503": "../a"}, {"503": strings.ToUpper(PageHash(nil))}} {
		if _, err := g.tryDeploy(Service{Name: "a", ErrorPages: pages}, a.Target, 1); !errors.As(err, &refused) {
			t.Errorf("%v: %v", pages, err)
		}
	}
}

// TestErrorPagesTogether: what is too much for one service is left out, and what fits is served.
func TestErrorPagesTogether(t *testing.T) {
	g, a := start(t, func(o *Options) { o.Hold = 10 * time.Millisecond }), newApp(t, "v1")
	half := strings.Repeat("a", MaxErrorPages/2+1)
	g.deploy(Service{Name: "a", ErrorPages: g.give(map[int]string{401: half, 503: half + "b"})}, a.Target, 1)
	a.Close()
	if body := g.down(); !strings.Contains(body, "<h1>") {
		t.Errorf("%.80q", body)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, err := g.LacksErrorPages(ctx, make([]string, maxPageHashes+1)); err == nil {
		t.Error("any number of hashes is taken")
	}
}
