package h1

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"time"
)

// answer makes the response whose head was read.
func (cn *conn) answer(r *http.Request, h head) (*http.Response, error) {
	f, err := h.framing(cn.method)
	if err != nil {
		return nil, fmt.Errorf("the answer's head: %w", err)
	}
	resp := &http.Response{
		Status: h.text, StatusCode: h.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: h.minor, Header: h.header,
		ContentLength: f.length, Body: http.NoBody, Close: !f.reusable, Request: r,
	}
	if h.minor == 0 {
		resp.Proto = "HTTP/1.0"
	}
	if f.empty {
		cn.done(f.reusable)
		return resp, nil
	}
	b := &body{cn: cn, ctx: r.Context(), left: f.length, reusable: f.reusable}
	if f.chunked {
		resp.TransferEncoding = []string{"chunked"}
		resp.Trailer = announced(h.header)
		b.chunks, b.resp = httputil.NewChunkedReader(cn.in), resp
	}
	if f.length < 0 || int64(cn.in.Buffered()) < f.length {
		_ = cn.SetDeadline(time.Time{}) // the limit was for the head; a closed connection fails the read
	}
	resp.Body = b
	return resp, nil
}

// announced are the trailers that a head promises, without values.
func announced(h http.Header) http.Header {
	var t http.Header
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if !isToken(name) || notSent[name] {
				continue
			}
			if t == nil {
				t = http.Header{}
			}
			t[name] = nil
		}
	}
	delete(h, "Trailer")
	return t
}

// body is read from the connection, which goes back at its end.
type body struct {
	cn       *conn
	ctx      context.Context // of the request: the body is a part of its exchange
	left     int64           // bytes; -1 = until the connection ends
	chunks   io.Reader       // nil: as it comes
	resp     *http.Response  // for the trailers of chunks
	reusable bool
	err      error // what is said from now on
}

// Read reads the body. Its last bytes come with io.EOF.
func (b *body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	switch {
	case b.chunks != nil:
		if n, err = b.chunks.Read(p); err == io.EOF {
			err = b.trailers()
		}
	case b.left < 0:
		n, err = b.cn.in.Read(p)
	default:
		n, err = b.cn.in.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if b.left == 0 {
			err = io.EOF
		}
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	b.err = err
	b.cn.done(b.reusable && err == io.EOF)
	return n, err
}

// Buffered is how many bytes a Read has without waiting.
func (b *body) Buffered() int {
	if b.err != nil {
		return 0
	}
	return b.cn.in.Buffered()
}

// trailers reads what follows the last chunk, and returns io.EOF if that is as it should be.
func (b *body) trailers() error {
	b.cn.lines = append(b.cn.lines[:0], "HTTP/1.1 200\n"...) // a head without its first line
	if err := b.cn.readMore(); err != nil {
		return fmt.Errorf("trailers: %w", whole(err))
	}
	h, err := parseHead(string(b.cn.lines))
	if err != nil {
		return fmt.Errorf("trailers: %w", err)
	}
	for name, values := range h.header {
		if notSent[name] {
			continue
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = http.Header{}
		}
		b.resp.Trailer[name] = values
	}
	return io.EOF
}

// Close ends the exchange. An answer that was not read to its end takes its connection with it.
func (b *body) Close() error {
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
		b.cn.done(false)
	}
	return nil
}
