package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines are the access log's so far; each must be a line of JSON.
func (g *gateway) lines() (all []accessLine) {
	g.t.Helper()
	for _, text := range strings.Split(strings.TrimSuffix(g.log.String(), "\n"), "\n") {
		var l accessLine
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			g.t.Fatalf("%q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

func TestAccessLog(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	a.HandleFunc("/dies", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	g.deploy(Service{Name: "shop"}, a.Target, 1)
	g.get("/?page=2&token=hunter2", "X-Request-Id", "r-1")
	g.raw("GET /none HTTP/1.1\r\nHost: x\r\nUser-Agent: \\\"}\xff\u2028{\"a\":1\r\nConnection: close\r\n\r\n")
	g.raw("GET /" + strings.Repeat("x", 5000) + "%0A%22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	c, _ := g.webSocket()
	_, _ = c.Write(frame(8, nil))
	_, _ = io.Copy(io.Discard, c)
	c.Close()
	_, _ = io.ReadAll(g.send("GET", "/dies", nil).Body)
	resp := g.send("GET", "/slow", nil)
	resp.Body.Close()
	impatient := g.dial()
	_, _ = io.WriteString(impatient, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "it arrives", func() bool { return a.requests.Load() == 7 })
	impatient.Close()
	eventually(t, "all lines are there, without the end of the proxy", func() bool { return len(g.lines()) == 7 })
	by := map[string]accessLine{}
	for _, l := range g.lines() {
		by[fmt.Sprintf("%d %.5s", l.Status, l.Path)] = l
	}
	l := by["200 /"]
	if l.RequestID != "r-1" || l.Remote != "127.0.0.1" || l.Method != "GET" || l.Service != "shop" || l.Target != a.Address || l.Release != "v1" || l.Bytes != 2 || l.Error != "" || l.Proto != "HTTP/1.1" {
		t.Errorf("%+v", l)
	}
	if age := time.Since(l.Time); age < 0 || age > time.Minute {
		t.Errorf("%s ago", age)
	}
	if l := by["404 /none"]; !strings.HasPrefix(l.UserAgent, `\"}`) {
		t.Errorf("%+v", l)
	}
	if l := by["404 /xxxx"]; len(l.Path) != maxLogText {
		t.Errorf("%d bytes of path", len(l.Path))
	}
	if l := by["101 /ws"]; l.Bytes != 2 {
		t.Errorf("the WebSocket: %+v", l)
	}
	if l := by["200 /dies"]; l.Error != "broken off" || l.Bytes != 4 {
		t.Errorf("the aborted one: %+v", l)
	}
	if l := by["499 /slow"]; l.Error == "" {
		t.Errorf("the impatient one: %+v of %+v", l, by)
	}
	if l.Query != "page=2&token=[redacted]" || strings.Contains(g.log.String(), "hunter2") {
		t.Errorf("the query: %s", l.Query)
	}
}

func TestAccessLogAtExit(t *testing.T) {
	g := start(t)
	g.get("/")
	g.stop()
	if n := len(g.lines()); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// TestStuckLog: nobody reads it. Requests go on, and what does not fit is counted.
func TestStuckLog(t *testing.T) {
	r, w := io.Pipe()
	g := start(t, func(o *Options) { o.AccessLog = w })
	g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	for range 50 {
		g.get("/")
	}
	g.stop()
	r.Close()
}

func TestDroppedLines(t *testing.T) {
	var out syncBuffer
	l := newAccessLog(&out, 0)
	line := accessLine{UserAgent: "x"}
	line.UserAgent = strings.Repeat("x", 1<<20+1-len(line.append(nil))) // 1 MiB as a whole
	for range 6 {
		l.add(line)
	}
	l.flush()
	if text := out.String(); !strings.HasSuffix(text, `,"dropped":2}`+"\n") || strings.Count(text, "\n") != 5 {
		t.Errorf("%d lines, the last: %s", strings.Count(text, "\n"), text[len(text)-100:])
	}
	l.add(accessLine{Path: "/next"})
	l.flush()
	if _, after, _ := strings.Cut(out.String(), `,"dropped":2}`+"\n"); !strings.Contains(after, `"path":"/next"`) || strings.Count(after, "\n") != 1 {
		t.Error("the next line is lost")
	}
}

func TestLogKeepsEachLineWhole(t *testing.T) {
	var out syncBuffer
	l := newAccessLog(&out, 0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); l.run(done) }()
	var writers sync.WaitGroup
	for n := range 8 {
		writers.Go(func() {
			for range 500 {
				l.add(accessLine{Host: fmt.Sprint(n), Path: strings.Repeat(fmt.Sprint(n), 200)})
			}
		})
	}
	writers.Wait()
	close(done)
	<-ended
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4000 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		var got accessLine
		if err := json.Unmarshal([]byte(l), &got); err != nil || got.Path != strings.Repeat(got.Host, 200) {
			t.Fatalf("%q: %v", l, err)
		}
	}
}

// TestSampledLog leaves requests out, and none that failed.
func TestSampledLog(t *testing.T) {
	for skip, want := range map[float64][2]int{0: {400, 400}, .75: {40, 200}, 1: {0, 0}} {
		g := start(t, func(o *Options) { o.LogSkip = skip })
		g.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
		r, err := http.NewRequest("GET", "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		l := newAccessLog(g.log, skip)
		for range 400 {
			l.write(r, &exchange{status: 200}, time.Now())
		}
		for range 5 {
			l.write(r, &exchange{status: 502}, time.Now())
			l.write(r, &exchange{status: 200, failure: errAborted}, time.Now())
		}
		l.flush()
		n, wrong := 0, 0
		for _, line := range g.lines() {
			if line.Status == 502 || line.Error != "" {
				wrong++
				continue
			}
			n++
			if line.Sample != 0 && line.Sample != 1-skip || (line.Sample == 0) != (skip == 0) {
				t.Errorf("%v: %+v", skip, line)
			}
		}
		if n < want[0] || n > want[1] || wrong != 10 {
			t.Errorf("%v left out: %d lines, %d of what failed", skip, n, wrong)
		}
		g.get("/")
		g.stop()
		if skip == 1 && len(g.lines()) != 10 {
			t.Errorf("the proxy has written %d lines", len(g.lines())-10)
		}
	}
}
