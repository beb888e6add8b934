package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// newHandler answers for an app that started at the time given:
//
//	/             the version
//	/up           "ok", or what the settings make of it
//	/slow?d=3s    the version, so much later
//	/stream?d=3s  a line with the version every 100 ms for so long, then "end"
//	/bytes?n=100  so many bytes
//	/post         the number and the SHA-256 of the bytes that were sent
//	/env?name=X   the environment variable X, 404 if it is not set
//	/ws           a WebSocket that sends back what it gets
//
// Every answer has the version in X-Version.
func newHandler(s settings, start time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if wait(r, s.ResponseDelay) {
			fmt.Fprintln(w, s.Version)
		}
	})
	mux.HandleFunc("GET /up", func(w http.ResponseWriter, r *http.Request) { up(w, r, s, start) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		if wait(r, s.ResponseDelay+duration(r, time.Second)) {
			fmt.Fprintln(w, s.Version)
		}
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { stream(w, r, s.Version) })
	mux.HandleFunc("GET /bytes", sendBytes)
	mux.HandleFunc("POST /post", receive)
	mux.HandleFunc("GET /env", sendEnv)
	mux.HandleFunc("GET /ws", echo)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", s.Version)
		if s.Broken && r.URL.Path != "/up" {
			http.Error(w, "broken, as told", http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func up(w http.ResponseWriter, r *http.Request, s settings, start time.Time) {
	switch {
	case s.HealthRedirect:
		http.Redirect(w, r, "/healthz", http.StatusMovedPermanently)
	case s.Unhealthy || time.Since(start) < s.HealthDelay:
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

// wait lets d pass; it says no when the client left before.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// duration is the parameter d of a request, or what it is by default.
func duration(r *http.Request, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(r.FormValue("d"))
	if err != nil {
		return otherwise
	}
	return d
}

func stream(w http.ResponseWriter, r *http.Request, version string) {
	flush := http.NewResponseController(w)
	for end := time.Now().Add(duration(r, time.Second)); time.Now().Before(end); {
		fmt.Fprintln(w, version)
		if flush.Flush() != nil || !wait(r, 100*time.Millisecond) {
			return
		}
	}
	fmt.Fprintln(w, "end")
}

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "n: want a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := w.Write(block[:min(n, int64(len(block)))]); err != nil {
			return
		}
	}
}

func receive(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x\n", n, h.Sum(nil))
}

func sendEnv(w http.ResponseWriter, r *http.Request) {
	v, ok := os.LookupEnv(r.FormValue("name"))
	if !ok {
		http.Error(w, "not set", http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, v) // the client is gone if it fails
}
