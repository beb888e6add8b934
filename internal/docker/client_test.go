package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnswerErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		status  int
		body    string
		want    error
		message string
	}{
		"not found": {404, `{"message":"No such image: x"}`, ErrNotFound, "do it: No such image: x"},
		"conflict":  {409, `{"message":"name\n in \u001b[31muse\u001b[0m"}`, ErrConflict, "do it: name in use"},
		"plain":     {500, "went\twrong", nil, "do it: went wrong"},
		"empty":     {503, "", nil, "do it: Service Unavailable"},
		"moved":     {301, "", nil, "do it: Moved Permanently"},
		"huge":      {500, strings.Repeat("x", 1<<20), nil, "do it: " + strings.Repeat("x", maxText)},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		err := c.do(t.Context(), get("do it", "/x", nil), nil)
		var ae *APIError
		if !errors.As(err, &ae) || ae.Status != tc.status || err.Error() != tc.message {
			t.Errorf("%s: %.100v", name, err)
		}
		for _, sentinel := range []error{ErrNotFound, ErrConflict, ErrUnsupported} {
			if errors.Is(err, sentinel) != (sentinel == tc.want) {
				t.Errorf("%s: errors.Is(%v) is wrong", name, sentinel)
			}
		}
	}
}

func TestAnswerTooLong(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	if _, err := c.ListImages(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
}

// A name is data: it must not become a query or another path.
func TestNamesAreEscaped(t *testing.T) {
	var path, query string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { path, query = r.URL.Path, r.URL.RawQuery })
	_ = c.RemoveImage(t.Context(), "a/b:c?force=1#x%2f")
	if path != "/images/a/b:c?force=1#x%2f" || query != "" {
		t.Errorf("path %q, query %q", path, query)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	reached := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.ListImages(t.Context())
		failed <- err
	}()
	<-reached
	c.Close()
	if err := <-failed; err == nil {
		t.Error("the call under way succeeded")
	}
	if _, err := c.ListImages(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a later call: %v, want net.ErrClosed", err)
	}
}

func TestCloseEndsDials(t *testing.T) {
	dialing := make(chan struct{})
	c := New(func(ctx context.Context) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.ListContainers(t.Context(), nil)
		failed <- err
	}()
	<-dialing
	c.Close()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

// At most six connections, however many calls are under way.
func TestConnections(t *testing.T) {
	arrived, release := make(chan struct{}, 20), make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "[]")
	})
	failed := make(chan error, 20)
	for range cap(failed) {
		go func() {
			_, err := c.ListImages(t.Context())
			failed <- err
		}()
	}
	for range maxConns {
		<-arrived
	}
	select {
	case <-arrived:
		t.Error("one connection too many")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestLabelFilter(t *testing.T) {
	for in, want := range map[string]string{"v": `{"label":["k=v"]}`, "": `{"label":["k"]}`} {
		if got, err := labelFilter(map[string]string{"k": in}); err != nil || got != want {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
	if _, err := labelFilter(map[string]string{"a=b": "c"}); err == nil {
		t.Error("a key with = would select something else")
	}
}

func TestLocal(t *testing.T) {
	for _, host := range []string{"tcp://10.0.0.1:2375", "ssh://root@web-1", "unix://relative", "/var/run/docker.sock", "npipe:////./pipe/docker_engine"} {
		_, err := Local(func(string) string { return host })
		if err == nil || !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "DOCKER_HOST") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := Local(func(string) string { return "" }); err != nil {
		t.Errorf("default: %v", err)
	}
}

func TestZstd(t *testing.T) {
	for version, want := range map[string]bool{"1.41": false, "1.42": true, "1.55": true, "1.9": false, "2.0": true, "": false, "x.y": false} {
		if got := (Info{APIVersion: version}).Zstd(); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
