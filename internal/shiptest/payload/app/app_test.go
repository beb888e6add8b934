package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func environ(kv ...string) func(string) string {
	return func(name string) string {
		for _, s := range kv {
			if v, ok := strings.CutPrefix(s, name+"="); ok {
				return v
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "version")
	if err := os.WriteFile(file, []byte("v7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  []string
		want settings
	}{
		{nil, settings{Port: "3000", Version: "v7"}},
		{[]string{"VERSION=v1", "PORT=80"}, settings{Port: "80", Version: "v1"}},
		{[]string{"BOOT_DELAY=1s", "HEALTH_DELAY=2s", "CRASH_AFTER=3s", "RESPONSE_DELAY=4s", "STOP_DELAY=5s"}, settings{
			Port: "3000", Version: "v7", BootDelay: time.Second, HealthDelay: 2 * time.Second, CrashAfter: 3 * time.Second,
			ResponseDelay: 4 * time.Second, StopDelay: 5 * time.Second,
		}},
		{[]string{"CRASH_ON_BOOT=1", "UNHEALTHY=true", "HEALTH_REDIRECT=1", "IGNORE_TERM=0", "BROKEN=1"}, settings{
			Port: "3000", Version: "v7", CrashOnBoot: true, Unhealthy: true, HealthRedirect: true, Broken: true,
		}},
	} {
		got, err := readSettings(environ(c.env...), file)
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v", c.env, got, err)
		}
	}
	_, err := readSettings(environ("BOOT_DELAY=soon", "STOP_DELAY=-1s"), file)
	if err == nil || !strings.Contains(err.Error(), "BOOT_DELAY") || !strings.Contains(err.Error(), "STOP_DELAY") {
		t.Errorf("bad durations: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	t.Setenv("APP_TEST_SECRET", "s3cret")
	server := httptest.NewServer(newHandler(settings{Version: "v1"}, time.Now()))
	defer server.Close()
	for _, c := range []struct {
		method, path, send string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, "v1\n"},
		{"GET", "/up", "", 200, "ok\n"},
		{"GET", "/slow?d=1ms", "", 200, "v1\n"},
		{"GET", "/stream?d=1ms", "", 200, "v1\nend\n"},
		{"GET", "/bytes?n=5", "", 200, "01234"},
		{"GET", "/bytes?n=-5", "", 400, "n: want a number of bytes\n"},
		{"POST", "/post", "abc", 200, "3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"},
		{"GET", "/env?name=APP_TEST_SECRET", "", 200, "s3cret"},
		{"GET", "/env?name=APP_TEST_NOTHING", "", 404, "not set\n"},
		{"GET", "/nothing", "", 404, "404 page not found\n"},
		{"GET", "/ws", "", 426, "this is a WebSocket\n"},
	} {
		req, err := http.NewRequest(c.method, server.URL+c.path, strings.NewReader(c.send))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || string(body) != c.want || resp.Header.Get("X-Version") != "v1" {
			t.Errorf("%s %s: %d %q %v", c.method, c.path, resp.StatusCode, body, err)
		}
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := func(s settings, start time.Time) int {
			w := httptest.NewRecorder()
			newHandler(s, start).ServeHTTP(w, httptest.NewRequest("GET", "/up", nil))
			return w.Code
		}
		start, late := time.Now(), settings{HealthDelay: time.Second}
		if got := status(late, start); got != 503 {
			t.Errorf("before the delay: %d", got)
		}
		time.Sleep(time.Second)
		if got := status(late, start); got != 200 {
			t.Errorf("after the delay: %d", got)
		}
		if got := status(settings{Unhealthy: true}, start); got != 503 {
			t.Errorf("unhealthy: %d", got)
		}
		if got := status(settings{HealthRedirect: true}, start); got != 301 {
			t.Errorf("redirect: %d", got)
		}
	})
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		s    settings
		want error
	}{{settings{}, nil}, {settings{Unhealthy: true}, errUnwell}} {
		server := httptest.NewServer(newHandler(c.s, time.Now()))
		_, port, err := net.SplitHostPort(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), settings{Port: port}, []string{"check"}, io.Discard); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.s, err)
		}
		server.Close()
		if err := run(t.Context(), settings{Port: port}, []string{"check"}, io.Discard); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody there: %v", err)
		}
	}
}

func TestWebSocket(t *testing.T) {
	server := httptest.NewServer(newHandler(settings{Version: "v1"}, time.Now()))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("upgrade: %+v, %v", resp, err)
	}
	for _, size := range []int{0, 125, 126, 65535, 65536, maxMessage} {
		sent := bytes.Repeat([]byte{'x'}, size)
		masked := maskFrame(0x82, sent)
		if _, err := conn.Write(masked); err != nil {
			t.Fatal(err)
		}
		want := new(bytes.Buffer)
		if err := writeFrame(want, 0x82, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d bytes did not come back: %v", size, err)
		}
	}
}

// maskFrame is a client's frame.
func maskFrame(first byte, payload []byte) []byte {
	var plain bytes.Buffer
	_ = writeFrame(&plain, first, payload) // never fails
	head := plain.Bytes()[:plain.Len()-len(payload)]
	head[1] |= 0x80
	mask := []byte{1, 2, 3, 4}
	out := append(append([]byte{}, head...), mask...)
	for i, c := range payload {
		out = append(out, c^mask[i%4])
	}
	return out
}

func FuzzReadFrame(f *testing.F) {
	f.Add(maskFrame(0x81, []byte("hello")))
	f.Add([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 16, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, payload, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if len(payload) > maxMessage || err != nil && payload != nil {
			t.Fatalf("%d bytes, %v", len(payload), err)
		}
	})
}

// TestLife runs the app as its container would: it must serve until told to stop, and finish what it began.
func TestLife(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	term := make(chan os.Signal, 1)
	ended := make(chan error, 1)
	go func() { ended <- serve(t.Context(), settings{Version: "v1"}, listener, term, io.Discard) }()
	url := "http://" + listener.Addr().String()
	begun := make(chan error, 1)
	resp, err := http.Get(url + "/stream?d=300ms")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.HasSuffix(b, []byte("end\n")) {
			err = fmt.Errorf("cut: %q", b)
		}
		begun <- err
	}()
	term <- syscall.SIGTERM
	if err := <-begun; err != nil {
		t.Errorf("request in flight: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	if _, err := http.Get(url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestCrash(t *testing.T) {
	if err := run(t.Context(), settings{CrashOnBoot: true}, nil, io.Discard); !errors.Is(err, errCrash) {
		t.Errorf("on boot: %v", err)
	}
	if err := run(t.Context(), settings{Port: "0", CrashAfter: 10 * time.Millisecond}, nil, io.Discard); !errors.Is(err, errCrash) {
		t.Errorf("later: %v", err)
	}
}

func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := make(chan os.Signal, 1)
		var log bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- work(context.Background(), settings{Version: "v1"}, term, &log) }()
		time.Sleep(1500 * time.Millisecond)
		term <- syscall.SIGTERM
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		want := "version v1 works: 0\nversion v1 works: 1\nversion v1 worked 1 times\n"
		if log.String() != want {
			t.Errorf("got %q", log.String())
		}
	})
}
