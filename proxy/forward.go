package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"ship/proxy/h1"
)

// forward sends a request to its target, and the answer back. What has no body, most of the requests, goes a short way, where
// nothing is copied that can be changed in place; the others go through httputil.ReverseProxy. Both send the same.
func (g *gate) forward(w *recorder, r *http.Request, x *exchange) {
	if x.target.h2c || !h1.Plain(r) {
		g.reverse.ServeHTTP(w, r)
		return
	}
	x.answer = w
	outbound(r, x.origin)
	x.introduce(r.Header)
	r.Close = false // that was about the client's connection
	resp, err := roundTripper{g}.RoundTrip(r)
	if err != nil {
		failed(w, r, err)
		return
	}
	defer resp.Body.Close()
	dropHops(resp.Header)
	if err := g.compressor.modify(resp); err != nil {
		failed(w, r, err)
		return
	}
	h, announced := w.Header(), announce(resp)
	for name, values := range resp.Header {
		h[name] = append(h[name], values...)
	}
	w.WriteHeader(resp.StatusCode)
	if err := g.pass(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // a proper end would make it look whole
	}
	w.trail(resp.Trailer, announced)
}

// outbound makes of a client's request what the target sees. The map is the server's own, who has read of it what it needs.
func outbound(r *http.Request, o origin) {
	h := r.Header
	id, trailers := h["X-Request-Id"], slices.ContainsFunc(h["Te"], func(s string) bool { return hasToken(s, "trailers") })
	told := o.told(h)
	dropHops(h)
	o.vouch(h, r, told)
	h["X-Request-Id"] = id
	if trailers {
		h["Te"] = []string{"trailers"}
	}
}

// dropHops takes away what is about one connection only (RFC 9110, 7.6.1).
func dropHops(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.Trim(name, " \t"))
		}
	}
	for name := range h {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			delete(h, name)
		}
	}
}

func hasToken(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), token) {
			return true
		}
	}
	return false
}

// pass copies a body. What was written goes out before a read that may wait: a stream arrives as it is made, and a short
// answer in one packet with its head.
func (g *gate) pass(w *recorder, body io.ReadCloser) error {
	if body == http.NoBody {
		return nil
	}
	ready, _ := body.(interface{ Buffered() int })
	buf := g.buffers.Get()
	defer g.buffers.Put(buf)
	flusher, _ := w.ResponseWriter.(http.Flusher)
	for {
		if flusher != nil && (ready == nil || ready.Buffered() == 0) {
			flusher.Flush()
		}
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if flusher != nil && n > 0 {
				flusher.Flush() // what there is of it is the client's, who sees that it is cut
			}
			return err
		}
	}
}

// announce says which trailers will come, and returns how many.
func announce(resp *http.Response) int {
	if len(resp.Trailer) > 0 {
		resp.Header["Trailer"] = []string{strings.Join(slices.Sorted(maps.Keys(resp.Trailer)), ", ")}
	}
	return len(resp.Trailer)
}

// trail sends trailers: announced of them were promised in the head.
func (w *recorder) trail(trailer http.Header, announced int) {
	if len(trailer) == 0 {
		return
	}
	_ = http.NewResponseController(w).Flush() // now it has chunks, whatever its length; who is gone is noticed elsewhere
	prefix := ""
	if len(trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range trailer {
		w.Header()[prefix+name] = values
	}
}

// interim passes on an answer that comes before the final one.
func interim(r *http.Request, status int, header http.Header) error {
	w := exchangeOf(r.Context()).answer
	dropHops(header)
	h := w.Header()
	for name, values := range header {
		h[name] = append(h[name], values...)
	}
	w.WriteHeader(status)
	for name := range header {
		delete(h, name) // the final answer has its own
	}
	return nil
}
