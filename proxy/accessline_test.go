package proxy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestAccessLineIsItsJSON: what is appended reads as package json writes it.
func TestAccessLineIsItsJSON(t *testing.T) {
	for _, text := range []string{"plain", "", `quo"te\`, "con\x00trol\n\x7f", "<b>&", "h\u00e4\u2028\U0001f600", "\xff\xfe", strings.Repeat("x", 3000)} {
		l := accessLine{Time: time.UnixMilli(1700000000123).UTC(), RequestID: text, Remote: text, Host: text, Method: text, Path: text, Query: text, Proto: text, Status: 200,
			Millis: 12.345, Bytes: 1 << 40, Service: text, Target: text, Release: text, UserAgent: text, Error: text, Sample: .25}
		if text == "" {
			l.Sample, l.Millis = 0, 0
		}
		want, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(l.append(nil)); got != string(want)+"\n" {
			t.Errorf("got  %.300q\nwant %.300q", got, want)
		}
	}
}

// BenchmarkAccessLine is a plain line as this package writes it, and as package json would.
func BenchmarkAccessLine(b *testing.B) {
	l := accessLine{Time: time.UnixMilli(1700000000123).UTC(), RequestID: "2fd8a1e07c4b4d0f", Remote: "192.0.2.7", Host: "shop.example.com", Method: "GET", Path: "/products/17", Proto: "HTTP/1.1", Status: 200,
		Millis: 12.345, Bytes: 1024, Service: "shop-web", Target: "8db1bbddf6a2", Release: "v2", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"}
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			buf = l.append(buf[:0])
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(&l); err != nil {
				b.Fatal(err)
			}
		}
	})
}
