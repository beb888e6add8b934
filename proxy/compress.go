package proxy

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// minCompress is the size of an answer, in bytes, below which a smaller one would hardly need fewer packets.
const minCompress = 1024

// encoder is what a body goes through.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// compressor makes answers smaller for clients that take it, and keeps encoders, which are costly to make.
type compressor struct{ gzip, zstd sync.Pool }

// modify is for every answer of a target.
func (c *compressor) modify(resp *http.Response) error {
	endAtCut(resp)
	insist(resp)
	stick(resp)
	x := exchangeOf(resp.Request.Context())
	if x == nil || !x.service.Compress {
		return nil
	}
	h := resp.Header
	if resp.StatusCode == http.StatusNotModified {
		addVary(h)
		if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) && strings.Contains(resp.Request.Header.Get("If-None-Match"), "W/"+tag) {
			h.Set("Etag", "W/"+tag) // the one that it was given
		}
		return nil
	}
	if !mayCompress(resp) {
		return nil
	}
	addVary(h)
	coding := negotiate(resp.Request.Header.Values("Accept-Encoding"))
	if coding == "" || resp.Request.Header.Get("Range") != "" {
		return nil
	}
	known := resp.ContentLength >= 0
	h.Set("Content-Encoding", coding)
	h.Del("Content-Length")
	h.Del("Accept-Ranges") // of what the client does not get
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		h.Set("Etag", "W/"+tag) // the same thing, in other bytes
	}
	resp.ContentLength = -1
	if resp.Request.Method == http.MethodHead {
		return nil
	}
	body := &compressedBody{source: resp.Body, flush: !known}
	if err := c.lend(body, coding); err != nil {
		return err
	}
	resp.Body = body
	return nil
}

// mayCompress tells whether an answer may be sent in other bytes, to those who like.
func mayCompress(resp *http.Response) bool {
	h := resp.Header
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return false
	}
	if resp.ContentLength >= 0 && resp.ContentLength < minCompress {
		return false
	}
	for _, name := range []string{"Content-Encoding", "Content-Range", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		if h.Get(name) != "" {
			return false
		}
	}
	if noTransform(h) || noTransform(resp.Request.Header) {
		return false
	}
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && compressible(t)
}

func noTransform(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), "no-transform")
}

// compressible tells of a type that has not been compressed already. Streams of events are left alone: each must go out
// as it comes.
func compressible(t string) bool {
	if slices.Contains(eventTypes[:], t) {
		return false
	}
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/manifest+json", "application/graphql",
		"application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/svg+xml", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}

// negotiate chooses what the client likes best of what we have, and of equals zstd; "" = as it is.
func negotiate(accept []string) string {
	likes := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(k, "q") {
				var err error
				if q, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
					q = 0
				}
			}
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "x-gzip" {
			name = "gzip"
		}
		likes[name] = q
	}
	best, most := "", likes["identity"]
	for _, coding := range []string{"zstd", "gzip"} {
		q, said := likes[coding]
		if !said {
			q = likes["*"]
		}
		if q > most || q > 0 && q == most && best == "" {
			best, most = coding, q
		}
	}
	return best
}

// addVary tells caches that the answer depends on what the client takes.
func addVary(h http.Header) {
	for part := range strings.SplitSeq(strings.Join(h.Values("Vary"), ","), ",") {
		if p := strings.TrimSpace(part); p == "*" || strings.EqualFold(p, "Accept-Encoding") {
			return
		}
	}
	h.Add("Vary", "Accept-Encoding")
}

// lend gives a body an encoder, and has it given back at the end.
func (c *compressor) lend(b *compressedBody, coding string) error {
	pool := &c.gzip
	if coding == "zstd" {
		pool = &c.zstd
	}
	enc, ok := pool.Get().(encoder)
	if !ok {
		var err error
		if coding == "zstd" {
			enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		} else {
			enc, err = gzip.NewWriterLevel(nil, 5)
		}
		if err != nil {
			return err
		}
	}
	enc.Reset(&b.out)
	b.enc, b.free = enc, func() {
		enc.Reset(io.Discard) // or it would keep the body
		pool.Put(enc)
	}
	return nil
}

// compressedBody compresses as it is read. What breaks off there, breaks off here: only a proper end gets one.
type compressedBody struct {
	source io.ReadCloser
	enc    encoder
	free   func()
	flush  bool // all that has come goes out at once: a stream, perhaps
	out    bytes.Buffer
	in     []byte
	end    error
}

func (b *compressedBody) Read(p []byte) (int, error) {
	if b.in == nil {
		b.in = make([]byte, 32<<10)
	}
	for b.out.Len() == 0 {
		if b.end != nil {
			return 0, b.end
		}
		n, err := b.source.Read(b.in)
		_, werr := b.enc.Write(b.in[:n])
		switch {
		case err == io.EOF:
			werr = errors.Join(werr, b.enc.Close())
		case b.flush && n > 0:
			werr = errors.Join(werr, b.enc.Flush())
		}
		if b.end = err; werr != nil {
			b.end = werr
		}
	}
	return b.out.Read(p)
}

func (b *compressedBody) Close() error {
	if b.free != nil {
		b.end = http.ErrBodyReadAfterClose
		b.free()
		b.free, b.enc = nil, nil
	}
	return b.source.Close()
}
