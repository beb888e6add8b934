package proxy

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for name, tt := range map[string]struct {
		limit  RateLimit
		burst  int           // requests that pass at once
		wait   time.Duration // that the next is told
		minute int           // that pass in a minute of trying all the time, the burst included
	}{
		"10 a second":             {RateLimit{Requests: 10, Per: Duration(time.Second)}, 10, 100 * time.Millisecond, 10 + 600},
		"and a burst":             {RateLimit{Requests: 10, Per: Duration(time.Second), Burst: 25}, 25, 100 * time.Millisecond, 25 + 600},
		"30 a minute":             {RateLimit{Requests: 30, Per: Duration(time.Minute)}, 1, 2 * time.Second, 1 + 30},
		"no burst":                {RateLimit{Requests: 10, Per: Duration(time.Second), Burst: 1}, 1, 100 * time.Millisecond, 1 + 600},
		"one and a half a second": {RateLimit{Requests: 90, Per: Duration(time.Minute)}, 2, 666666666, 2 + 90},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPacer(&tt.limit)
			at := p.start.Add(time.Hour)
			for n := range tt.burst {
				if _, ok := p.take(one, at); !ok {
					t.Fatalf("request %d of the burst is refused", n+1)
				}
			}
			if wait, ok := p.take(one, at); ok || wait != tt.wait {
				t.Errorf("after the burst: %s, %t; want %s", wait, ok, tt.wait)
			}
			if _, ok := p.take(two, at); !ok {
				t.Error("another client is refused")
			}
			passed := tt.burst
			for end := at.Add(time.Minute); !at.After(end); at = at.Add(10 * time.Millisecond) {
				if _, ok := p.take(one, at); ok {
					passed++
				}
			}
			if passed < tt.minute*95/100 || passed > tt.minute {
				t.Errorf("%d in a minute, want %d", passed, tt.minute)
			}
		})
	}
}

// TestPacerForgets: memory is bounded whoever comes, and a client that comes often is remembered among many others.
func TestPacerForgets(t *testing.T) {
	p := newPacer(&RateLimit{Requests: 1, Per: Duration(time.Hour)})
	often, refused := netip.MustParseAddr("192.0.2.1"), 0
	if _, ok := p.take(often, p.start); !ok {
		t.Fatal("refused at once")
	}
	for n := range 3 * maxClients {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24+uint32(n))
		p.take(netip.AddrFrom4(b), p.start)
		if n == 100 {
			if _, ok := p.take(often, p.start); !ok {
				refused++
			}
		}
	}
	if len(p.recent)+len(p.old) > maxClients || refused != 1 {
		t.Errorf("%d and %d are kept; refused %d times", len(p.recent), len(p.old), refused)
	}
}

func TestClientKey(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::9": "2001:db8:1:2::", "2001:db8:1:3::9": "2001:db8:1:3::"} {
		if got := clientKey(in); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s", in, got)
		}
	}
	if clientKey("@").IsValid() {
		t.Error("@ is an address")
	}
}

// TestRateLimit: by the client's own address, and other services do not count.
func TestRateLimit(t *testing.T) {
	g, a := start(t), newApp(t, "v1")
	limit := &RateLimit{Requests: 3, Per: Duration(time.Hour), Burst: 3}
	g.deploy(Service{Name: "a", Hosts: []string{"a.test"}, RateLimit: limit, TrustedProxies: []string{"127.0.0.1"}}, a.Target, 1)
	g.deploy(Service{Name: "b", Hosts: []string{"b.test"}}, a.Target, 1)
	ask := func(host, client string, want int) {
		t.Helper()
		resp, body := g.get("/", "Host", host, "X-Forwarded-For", client)
		if resp.StatusCode != want {
			t.Errorf("%s for %s: %d %s", host, client, resp.StatusCode, body)
		}
		if retry := resp.Header.Get("Retry-After"); want == http.StatusTooManyRequests && retry != "1200" {
			t.Errorf("retry after %q", retry)
		}
	}
	for range 3 {
		ask("a.test", "198.51.100.7", http.StatusOK)
		ask("b.test", "198.51.100.7", http.StatusOK)
	}
	ask("a.test", "198.51.100.7", http.StatusTooManyRequests)
	ask("b.test", "198.51.100.7", http.StatusOK)
	ask("a.test", "198.51.100.8", http.StatusOK)
	for _, bad := range []RateLimit{{}, {Requests: 1}, {Requests: -1, Per: Duration(time.Second)}, {Requests: maxRate + 1, Per: Duration(time.Second)}, {Requests: 1, Per: Duration(maxPer + 1)}, {Requests: 1, Per: Duration(time.Second), Burst: -1}} {
		if _, err := (Service{Name: "a", RateLimit: &bad}).withDefaults(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
