package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"ship/proxy/acme"
)

// Client controls one proxy, over connections that dial opens.
type Client struct {
	http  *http.Client
	close func()
}

// maxAnswer bounds the whole answer to prepare, in bytes: an hour of attempts.
const maxAnswer = 16 << 20

// maxControlConns: one for a call that waits (prepare, drain), one for the others.
const maxControlConns = 2

// NewClient returns a client that dials when first asked something. The context of dial bounds the dialling only.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	t := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxConnsPerHost: maxControlConns, MaxIdleConnsPerHost: maxControlConns, DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes,
	}
	here := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &http.Client{Transport: t, CheckRedirect: here}, close: t.CloseIdleConnections}
}

// Close ends idle connections.
func (c *Client) Close() { c.close() }

// Status asks the proxy what it knows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, http.MethodGet, "status", nil, &s)
	for i := range s.Services {
		if cert := s.Services[i].TLSCert; cert != nil {
			*cert = cert.clean()
		}
		s.Services[i].ACME = s.Services[i].ACME.clean()
	}
	return s, err
}

// Prepare waits until the target is healthy and returns a token for Commit; on is told of each attempt. The error is an
// *UnhealthyError when it did not become so in time. When ctx ends, the proxy stops waiting too.
func (c *Client) Prepare(ctx context.Context, r PrepareRequest, on func(Attempt)) (token string, err error) {
	resp, err := c.send(ctx, http.MethodPost, "prepare", r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", readFailure(resp.Body)
	}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, maxAnswer))
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		var l prepareLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return "", fmt.Errorf("prepare: %w", err)
		}
		switch {
		case l.Failure != nil:
			return "", l.Failure.error()
		case l.Token != "":
			return l.Token, nil
		case l.Attempt != nil && on != nil:
			on(l.Attempt.clean())
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	return "", errors.New("prepare: the proxy broke off its answer")
}

// Commit switches the service to the prepared target. *StaleError: another run has overtaken this one.
func (c *Client) Commit(ctx context.Context, service, token string, generation int64) (Switched, error) {
	var s Switched
	err := c.do(ctx, http.MethodPost, "commit", call{Service: service, Token: token, Generation: generation}, &s)
	return s, err
}

// Undo takes back this generation's commit; without one it does nothing.
func (c *Client) Undo(ctx context.Context, service string, generation int64) error {
	return c.do(ctx, http.MethodPost, "undo", call{Service: service, Generation: generation}, nil)
}

// Drain waits until no request is with a target that is no longer active. What still is at the timeout is ended:
// event streams by their proper end, WebSockets by a close frame (1001).
func (c *Client) Drain(ctx context.Context, service, targetID string, timeout time.Duration) (Drained, error) {
	var d Drained
	err := c.do(ctx, http.MethodPost, "drain", call{Service: service, Target: targetID, Timeout: timeout}, &d)
	return d, err
}

// Remove takes a service away.
func (c *Client) Remove(ctx context.Context, service string, generation int64) error {
	return c.do(ctx, http.MethodPost, "remove", call{Service: service, Generation: generation}, nil)
}

// Halt keeps new requests from the service; one that there was before is replaced. An *OldProxyError is a proxy that
// cannot.
func (c *Client) Halt(ctx context.Context, service string, h Halt) error {
	return c.do(ctx, http.MethodPost, "halt", call{Service: service, Halt: &h}, nil)
}

// Resume ends a halt of that kind, and tells whether there was one.
func (c *Client) Resume(ctx context.Context, service string, kind HaltKind) (was bool, err error) {
	var r resumed
	err = c.do(ctx, http.MethodPost, "resume", call{Service: service, Kind: kind}, &r)
	return r.Was, err
}

// OldProxyError is a proxy older than this program, that lacks a call.
type OldProxyError struct{ Call string }

func (e *OldProxyError) Error() string {
	return "the proxy is older than this program, and does not know " + e.Call
}

// Hint says what to do.
func (e *OldProxyError) Hint() string { return "`ship proxy upgrade` replaces it; no request is lost" }

// Certify gives a service the certificate that it is served with from now on, before its first target or at any time after.
// What it returns is what the proxy has read.
func (c *Client) Certify(ctx context.Context, service string, pair KeyPair, generation int64) (Certificate, error) {
	var told Certificate
	err := c.do(ctx, http.MethodPost, "certify", call{Service: service, Pair: &pair, Generation: generation}, &told)
	return told.clean(), err
}

// Enrol has the proxy get a service's certificates by itself, before its first target or at any time after, and answer the
// challenges of all hosts with the same account.
func (c *Client) Enrol(ctx context.Context, service string, e acme.Enrolment, generation int64) error {
	return c.do(ctx, http.MethodPost, "enrol", call{Service: service, Enrolment: &e, Generation: generation}, nil)
}

// Account returns a service's enrolment as it was given to the proxy; nil: none was.
func (c *Client) Account(ctx context.Context, service string) (*acme.Enrolment, error) {
	var h held
	err := c.do(ctx, http.MethodPost, "account", call{Service: service}, &h)
	return h.Enrolment, err
}

// Obtain orders a certificate for an enrolled service now, and returns when it is served with.
func (c *Client) Obtain(ctx context.Context, service string) (Certificate, error) {
	var told Certificate
	err := c.do(ctx, http.MethodPost, "obtain", call{Service: service}, &told)
	return told.clean(), err
}

// Pair returns the certificate that an enrolled service has, for the other hosts; nil: none yet.
func (c *Client) Pair(ctx context.Context, service string) (*KeyPair, error) {
	var h held
	err := c.do(ctx, http.MethodPost, "pair", call{Service: service}, &h)
	return h.Pair, err
}

// reload tells a proxy that has handed over that its successor has changed a service.
func (c *Client) reload(ctx context.Context, service string) error {
	return c.do(ctx, http.MethodPost, "reload", call{Service: service}, nil)
}

func (c *Client) do(ctx context.Context, method, verb string, in, out any) error {
	resp, err := c.send(ctx, method, verb, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return &OldProxyError{verb}
	}
	if resp.StatusCode != http.StatusOK {
		return readFailure(resp.Body)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1)) // to its end, or the connection cannot be used again
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("the proxy's answer has more than %d bytes", maxMessage)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, verb string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", verb, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://proxy/v1/"+verb, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	return resp, nil
}

func readFailure(r io.Reader) error {
	var f failure
	if err := json.NewDecoder(io.LimitReader(r, maxMessage)).Decode(&f); err != nil {
		return fmt.Errorf("the proxy refused, and its reason cannot be read: %w", err)
	}
	return f.error()
}
