package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// Six connections at most, with the one that carries the content service: SSH servers allow ten sessions per
	// connection by default, and the caller wants some for other commands. Idle ones hold a session too.
	maxConns = 3 // for the Engine API
	maxIdle  = 2 // of those
	maxLoads = 2 // one unpacks, the next one is sent; a further one waits

	maxAnswer = 32 << 20 // bytes of one JSON answer; a list of a thousand containers is about 3 MiB
	maxError  = 64 << 10 // bytes read of an error answer
	maxHeader = 64 << 10 // bytes of the head of an answer
)

// Dialer opens one connection to an engine's socket. It is called from several goroutines. The context bounds the
// dialing only, not the life of the connection.
type Dialer func(ctx context.Context) (net.Conn, error)

// Client is one engine. Its methods are safe for concurrent use.
type Client struct {
	links   *links
	api     *http.Transport
	content *http.Transport
	loads   chan struct{} // holds one for each load under way
}

// New returns a client that dials when first asked something.
func New(dial Dialer) *Client {
	c := &Client{links: newLinks(dial), loads: make(chan struct{}, maxLoads)}
	c.api = &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.links.dial(ctx) },
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     20 * time.Second,
		DisableCompression:  true,

		MaxResponseHeaderBytes: maxHeader,
	}
	c.content = contentTransport(c.links)
	return c
}

// Close breaks every connection: what is still under way fails, and so does every later call.
func (c *Client) Close() {
	c.links.close()
	c.api.CloseIdleConnections()
	c.content.CloseIdleConnections()
}

// request is one call of the Engine API.
type request struct {
	op     string // what it does, for errors: "inspect image"
	method string
	path   string // unescaped
	query  url.Values
	body   any // nil, an io.Reader (sent chunked), or what becomes JSON
}

// get is the request for reading path.
func get(op, path string, query url.Values) request {
	return request{op: op, method: http.MethodGet, path: path, query: query}
}

// post is the request for changing something at path.
func post(op, path string, query url.Values, body any) request {
	return request{op: op, method: http.MethodPost, path: path, query: query, body: body}
}

// open sends r and returns the answer if its status says success; the caller closes its body.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	req, err := newRequest(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	resp, err := c.api.RoundTrip(req)
	if err != nil {
		return nil, transportError(ctx, r.op, err)
	}
	if err := answerError(r.op, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// do sends r and decodes the answer into out; a nil out drops it.
func (c *Client) do(ctx context.Context, r request, out any) error {
	resp, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := readBounded(resp.Body, maxAnswer)
	if err != nil {
		return transportError(ctx, r.op, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: unreadable answer: %w", r.op, err)
	}
	return nil
}

func newRequest(ctx context.Context, r request) (*http.Request, error) {
	u := url.URL{Scheme: "http", Host: "docker", Path: r.path, RawQuery: r.query.Encode()}
	var body io.Reader
	kind := "application/json"
	switch b := r.body.(type) {
	case nil:
		kind = ""
	case io.Reader:
		body, kind = b, "application/x-tar"
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(j)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return req, nil
}

// transportError says why no (whole) answer came. The reason a context ended is worth more than what broke because of it.
func transportError(ctx context.Context, op string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	} else if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s: %w", op, err)
}

// readBounded reads r to its end and refuses more than limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("answer longer than %d bytes", limit)
	}
	return b, err
}

// labelFilter is the `filters` parameter for objects that carry all of labels; an empty value asks for the key alone.
func labelFilter(labels map[string]string) (string, error) {
	var want []string
	for k, v := range labels {
		if strings.Contains(k, "=") {
			return "", fmt.Errorf("label key %q contains =", k)
		}
		if v != "" {
			k += "=" + v
		}
		want = append(want, k)
	}
	b, err := json.Marshal(map[string][]string{"label": want})
	return string(b), err
}
