package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// scrape reads the metrics; "" while they cannot be read.
func scrape(t testing.TB, address string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := c.Get("http://" + address + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%v, %v", resp, err)
	}
	return string(b)
}

func TestMetrics(t *testing.T) {
	address := freeAddress(t)
	g, a, b := start(t, func(o *Options) { o.MetricsAddr = address }), newApp(t, "v1"), newApp(t, `v2"\`)
	s := Service{Name: "shop", Hosts: []string{"shop.example"}, Health: HealthCheck{Interval: oftenChecked, Failures: 1}}
	g.deploy(s, a.Target, 1)
	at := []string{"Host", "shop.example"}
	g.get("/", at...)
	g.get("/missing", at...)
	g.get("/missing", "Host", "other.example")
	_, _ = io.ReadAll(g.send("POST", "/post", strings.NewReader("abc"), at...).Body)
	for n := range 50 { // these make no series
		_, _ = io.ReadAll(g.send(fmt.Sprint("M", n), "/missing", nil, "Host", fmt.Sprint(n, ".example")).Body)
	}
	ws, _ := g.upgrade("GET /ws HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	g.deploy(s, b.Target, 2)
	if _, err := g.Drain(t.Context(), "shop", a.ID, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ws.Close()
	b.sick.Store(true)
	eventually(t, "ejected", func() bool { return g.active().Health == "ejected" })
	var page string
	eventually(t, "the WebSocket is counted", func() bool {
		page = scrape(t, address)
		return strings.Contains(page, `method="GET",status="1xx"`)
	})
	for _, want := range []string{
		`ship_proxy_build_info{version="test",goversion="go`,
		`ship_proxy_worker_restarts_total 0`,
		`ship_proxy_http_requests_total{service="shop",method="GET",status="2xx"} 1`,
		`ship_proxy_http_requests_total{service="shop",method="GET",status="4xx"} 1`,
		`ship_proxy_http_requests_total{service="shop",method="POST",status="2xx"} 1`,
		`ship_proxy_http_requests_total{service="shop",method="GET",status="1xx"} 1`,
		`ship_proxy_http_requests_total{service="",method="GET",status="4xx"} 1`,
		`ship_proxy_http_requests_total{service="",method="other",status="4xx"} 50`,
		`ship_proxy_http_request_duration_seconds_count{service="shop"} 3`,
		`ship_proxy_http_request_duration_seconds_bucket{service="shop",le="+Inf"} 3`,
		`ship_proxy_switches_total{service="shop"} 2`,
		`ship_proxy_drains_total{service="shop"} 1`,
		`ship_proxy_drain_cut_requests_total{service="shop"} 1`,
		`ship_proxy_target_ejected{service="shop",target="` + b.Address + `",release="v2\"\\"} 1`,
		`ship_proxy_target_healthy{service="shop",target="` + b.Address + `",release="v2\"\\"} 0`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in:\n%s", want, page)
		}
	}
	wellFormed(t, page)
}

// wellFormed checks the page line by line: each sample belongs to the family that was begun last.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	line := regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="([^"\\]|\\["\\n])*"(,[a-z]+="([^"\\]|\\["\\n])*")*\})? [0-9.e+-]+$`)
	family, seen := "", map[string]bool{}
	for _, text := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		if rest, ok := strings.CutPrefix(text, "# TYPE "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if seen[family] {
				t.Errorf("%s is there twice", family)
			}
			seen[family] = true
		}
		if strings.HasPrefix(text, "# ") {
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil || !strings.HasPrefix(m[1], family) || seen[text] {
			t.Errorf("%s", text)
		}
		seen[text] = true
	}
}

// TestMetricsAcrossHandOver: the successor has the address as soon as the predecessor serves no more.
func TestMetricsAcrossHandOver(t *testing.T) {
	address := freeAddress(t)
	one := start(t, func(o *Options) { o.MetricsAddr, o.Version = address, "one" })
	one.deploy(Service{Name: "a"}, newApp(t, "v1").Target, 1)
	eventually(t, "the first one's", func() bool { return strings.Contains(scrape(t, address), `version="one"`) })
	start(t, func(o *Options) {
		o.MetricsAddr, o.Version, o.StateDir, o.Socket = address, "two", one.dir, one.socket
	})
	eventually(t, "the second one's", func() bool {
		page := scrape(t, address)
		return strings.Contains(page, `version="two"`) && strings.Contains(page, `ship_proxy_target_healthy{service="a"`)
	})
}

func TestDurationsFindTheirBucket(t *testing.T) {
	m := &metrics{}
	x := &exchange{status: 200}
	r := &http.Request{Method: "GET"}
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, 30 * time.Second, time.Hour} {
		m.request(r, x, d)
	}
	s := m.of("")
	if a, b, c, d := s.buckets[0].Load(), s.buckets[1].Load(), s.buckets[len(bucketBounds)-1].Load(), s.buckets[len(bucketBounds)].Load(); a != 2 || b != 1 || c != 1 || d != 1 {
		t.Error(a, b, c, d)
	}
	for status, want := range map[int]string{0: "none", 101: "1xx", 204: "2xx", 308: "3xx", 499: "none", 404: "4xx", 503: "5xx", 999: "none"} {
		if got := classNames[classOf(status)]; got != want {
			t.Errorf("%d: %s", status, got)
		}
	}
}

// TestRestartsAreCounted by the master, who is the one that knows.
func TestRestartsAreCounted(t *testing.T) {
	address := freeAddress(t)
	p := startProcess(t, t.TempDir(), "ROLE=master", "METRICS="+address)
	for n := range 3 {
		want := fmt.Sprintf("ship_proxy_worker_restarts_total %d\n", n)
		eventually(t, want, func() bool { return strings.Contains(scrape(t, address), want) })
		pid := p.worker()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.another(pid)
	}
}
