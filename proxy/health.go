package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Attempt is one health check and what came of it.
type Attempt struct {
	Time     time.Time `json:"time"`
	Healthy  bool      `json:"healthy"`
	Status   int       `json:"status,omitempty"`   // 0 = no answer
	Location string    `json:"location,omitempty"` // of a redirect
	Body     string    `json:"body,omitempty"`     // head of the body, cleaned
	Error    string    `json:"error,omitempty"`    // why there was no answer

	refused bool // the connection was
}

func (a Attempt) String() string {
	switch {
	case a.Error != "":
		return a.Error
	case a.Healthy && a.Status == 0:
		return "takes connections"
	case a.Location != "":
		return fmt.Sprintf("answered %d, Location: %s", a.Status, a.Location)
	case a.Body != "" && !a.Healthy:
		return fmt.Sprintf("answered %d: %s", a.Status, a.Body)
	}
	return fmt.Sprintf("answered %d", a.Status)
}

// UnhealthyError is a target that did not become healthy in time, with the last things it answered.
type UnhealthyError struct {
	Target   Target        `json:"target"`
	After    time.Duration `json:"after"`
	Path     string        `json:"path,omitempty"` // "": a connection was enough
	Attempts []Attempt     `json:"attempts"`       // the last few, oldest first
}

func (e *UnhealthyError) Error() string {
	last := "was never checked"
	if n := len(e.Attempts); n > 0 {
		last = e.Attempts[n-1].String()
	}
	if e.After == 0 {
		return fmt.Sprintf("no longer healthy: %s: %s", e.question(), last)
	}
	return fmt.Sprintf("not healthy within %s: %s: %s", e.After, e.question(), last)
}

func (e *UnhealthyError) question() string {
	if e.Path == "" {
		return "a connection to " + e.Target.Address
	}
	if e.Path == grpcPath {
		return "gRPC health check of " + e.Target.Address
	}
	return "GET " + e.Path + " on " + e.Target.Address
}

// Hint says what usually is the matter.
func (e *UnhealthyError) Hint() string {
	if len(e.Attempts) == 0 {
		return ""
	}
	switch last := e.Attempts[len(e.Attempts)-1]; {
	case last.Location != "":
		return "a health check must answer 2xx itself: exempt " + e.Path + " from redirects, or set proxy.healthcheck.path"
	case strings.Contains(last.Error, "refused"):
		return "nothing listens there: does the app listen on proxy.app_port, and on 0.0.0.0 rather than 127.0.0.1? Does it need longer than proxy.deploy_timeout?"
	case e.Path == grpcPath:
		return "the app answers grpc.health.v1.Health/Check with SERVING, over HTTP/2 without TLS on proxy.app_port; proxy.healthcheck.service is whom it is asked for"
	case last.Status == http.StatusNotFound:
		return "set proxy.healthcheck.path to a page that the app has"
	case last.Error != "":
		return "does the app need longer than proxy.healthcheck.timeout to answer?"
	case last.Status/100 == 2:
		return "that is none of proxy.healthcheck.status"
	}
	return "the app says that it is not well: see its log"
}

const (
	maxAttempts = 5
	firstPoll   = 10 * time.Millisecond
	telling     = 500 * time.Millisecond
)

// checker asks targets how they are. It follows no redirect and knows no HTTP_PROXY.
type checker struct{ client, grpc *http.Client }

func newChecker() checker {
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	return checker{checkClient(nil), checkClient(&h2c)}
}

// checkClient opens a connection for each check; nil = HTTP/1.1.
func checkClient(speaks *http.Protocols) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, Proxy: nil, Protocols: speaks,
			DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, MaxResponseHeaderBytes: maxHeaderBytes},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// check asks once.
func (c checker) check(ctx context.Context, t Target, s Service) Attempt {
	switch s.Health.Type {
	case CheckTCP:
		return connect(ctx, t, s.Health)
	case CheckGRPC:
		return c.askGRPC(ctx, t, s)
	}
	a := Attempt{Time: time.Now().UTC()}
	ctx, stop := context.WithTimeout(ctx, time.Duration(s.Health.Timeout))
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Address+s.Health.Path, nil)
	if err != nil {
		a.Error = printable(err.Error(), 200)
		return a
	}
	req.Header.Set("User-Agent", "ship-proxy health check")
	req.Host = s.checkedAs()
	resp, err := c.client.Do(req)
	if err != nil {
		a.Error, a.refused = printable(reason(err, time.Since(a.Time)), 200), errors.Is(err, syscall.ECONNREFUSED)
		return a
	}
	defer resp.Body.Close()
	if a.Status, a.Healthy = resp.StatusCode, s.Health.expects(resp.StatusCode); a.Healthy {
		return a
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // it only explains
	if resp.StatusCode/100 == 3 {
		a.Location = printable(resp.Header.Get("Location"), 200)
	}
	a.Body = printable(string(head), 200)
	return a
}

// checkedAs is the name by which checks call the target; "" = its address.
func (s Service) checkedAs() string {
	switch {
	case s.Health.Host != "":
		return s.Health.Host
	case len(s.Hosts) > 0 && !strings.HasPrefix(s.Hosts[0], "*"):
		return s.Hosts[0]
	}
	return ""
}

func reason(err error, after time.Duration) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", after.Round(10*time.Millisecond))
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// await asks until the target was healthy as often in a row as the service wants: soon at first, and then at pauses of
// a tenth of the time that has passed, up to the service's interval.
func (c checker) await(ctx context.Context, t Target, s Service, on func(Attempt)) error {
	start, pause, row := time.Now(), firstPoll, 0
	var last []Attempt
	for {
		a := c.check(ctx, t, s)
		// The deadline cuts the last attempt off. It tells something only if it had time enough for an answer.
		if ctx.Err() == nil || time.Since(a.Time) > telling || len(last) == 0 {
			if last = append(last, a); len(last) > maxAttempts {
				last = last[1:]
			}
			on(a)
		}
		if row++; !a.Healthy {
			row = 0
		}
		if row >= s.Health.Successes && ctx.Err() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return &UnhealthyError{Target: t, After: time.Since(start).Round(100 * time.Millisecond), Path: s.Health.Path, Attempts: last}
			}
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(pause+pause/10, time.Duration(s.Health.Interval))
	}
}

// printable is foreign text, bounded, on one line, without what acts on a terminal.
func printable(s string, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit]
	}
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)), " ")
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit])
	}
	return s
}
