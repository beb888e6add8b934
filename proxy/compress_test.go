package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip;q=1.0, zstd;q=0.5": "gzip", "zstd;q=0, *": "gzip",
		"gzip;q=0": "", "*": "zstd", "*;q=0": "", "identity, gzip;q=0.5": "", "GZIP": "gzip", "x-gzip": "gzip", "br": "", "gzip;q=x": "", "identity;q=0, gzip;q=0.1": "gzip", "gzip ; Q = 0": "gzip", "gzip; q=0.0": "",
	} {
		if got := negotiate([]string{accept}); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

// plain undoes the coding of an answer.
func plain(t *testing.T, resp *http.Response, b []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch resp.Header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r); err == nil {
			defer d.Close()
			r = d
		}
	}
	if err == nil {
		b, err = io.ReadAll(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompress(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	text := strings.Repeat("all work and no play ", 5000)
	a.HandleFunc("/text", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", cmp.Or(q.Get("type"), "text/html; charset=utf-8"))
		w.Header().Set("Etag", `"abc"`)
		for _, name := range []string{"Content-Encoding", "Cache-Control", "Vary"} {
			if v := q.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		body := text
		if q.Has("short") {
			body = "short"
		}
		if q.Has("chunked") {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, body)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body)) // ranges, HEAD and 304 as they should be
	})
	g.deploy(Service{Name: "a", Compress: true}, a.Target, 1)
	for name, tt := range map[string]struct {
		method, query, accept string
		header                []string
		status                int
		coding                string
		vary                  bool
	}{
		"gzip":             {"GET", "", "gzip", nil, 200, "gzip", true},
		"zstd":             {"GET", "", "gzip, zstd", nil, 200, "zstd", true},
		"chunked":          {"GET", "chunked", "zstd", nil, 200, "zstd", true},
		"no taste":         {"GET", "", "", nil, 200, "", true},
		"HEAD":             {"HEAD", "", "gzip", nil, 200, "gzip", true},
		"POST":             {"POST", "", "gzip", nil, 200, "gzip", true},
		"short":            {"GET", "short", "gzip", nil, 200, "", false},
		"an image":         {"GET", "type=image/png", "gzip", nil, 200, "", false},
		"JSON":             {"GET", "type=application/problem%2Bjson", "gzip", nil, 200, "gzip", true},
		"coded already":    {"GET", "Content-Encoding=br", "gzip", nil, 200, "br", false},
		"no-transform":     {"GET", "Cache-Control=public,+No-Transform", "gzip", nil, 200, "", false},
		"asked so":         {"GET", "", "gzip", []string{"Cache-Control", "no-transform"}, 200, "", false},
		"a range":          {"GET", "", "gzip", []string{"Range", "bytes=0-1999"}, 206, "", false},
		"not modified":     {"GET", "", "gzip", []string{"If-None-Match", `W/"abc"`}, 304, "", true},
		"Vary is there":    {"GET", "Vary=accept-encoding", "gzip", nil, 200, "gzip", true},
		"Vary on anything": {"GET", "Vary=*", "gzip", nil, 200, "gzip", false},
	} {
		header := tt.header
		if tt.accept != "" {
			header = append(header, "Accept-Encoding", tt.accept)
		}
		resp := g.send(tt.method, "/text?"+tt.query, nil, header...)
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != tt.status || resp.Header.Get("Content-Encoding") != tt.coding {
			t.Errorf("%s: %d %v, %v", name, resp.StatusCode, resp.Header, err)
			continue
		}
		if vary := strings.EqualFold(strings.Join(resp.Header.Values("Vary"), "|"), "Accept-Encoding"); vary != tt.vary {
			t.Errorf("%s: Vary %q", name, resp.Header.Values("Vary"))
		}
		ours := tt.coding == "gzip" || tt.coding == "zstd"
		if weak := resp.Header.Get("Etag") == `W/"abc"`; weak != (ours || tt.status == 304) {
			t.Errorf("%s: ETag %s", name, resp.Header.Get("Etag"))
		}
		if ours && (resp.Header.Get("Content-Length") != "" || resp.Header.Get("Accept-Ranges") != "" || len(b) > len(text)/20) {
			t.Errorf("%s: %d bytes, %v", name, len(b), resp.Header)
		}
		if ours && tt.method != "HEAD" && plain(t, resp, b) != text {
			t.Errorf("%s: the body is another one", name)
		}
	}
	g.deploy(Service{Name: "a"}, a.Target, 2)
	if resp, body := g.get("/text", "Accept-Encoding", "gzip"); body != text || resp.Header.Get("Vary") != "" {
		t.Errorf("nobody asked for it: %v", resp.Header)
	}
}

// TestCompressStreams: what the app flushes reaches the client at once; events are left alone; what breaks off has no end.
func TestCompressStreams(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	next := make(chan struct{})
	a.HandleFunc("/log", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-next
		fmt.Fprintln(w, "second")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	g.deploy(Service{Name: "a", Compress: true}, a.Target, 1)
	resp := g.send(http.MethodGet, "/log", nil, "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(resp.Body)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(err, resp.Header)
	}
	r := bufio.NewReader(z)
	if line, err := r.ReadString('\n'); line != "first\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	close(next)
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("what was broken off looks whole: %q", b)
	}
	stream := g.send(http.MethodGet, "/stream", nil, "Accept-Encoding", "gzip")
	if line, err := bufio.NewReader(stream.Body).ReadString('\n'); line != "data: 0\n" || err != nil {
		t.Errorf("%q, %v, %v", line, err, stream.Header)
	}
	stream.Body.Close()
}
