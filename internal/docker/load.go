package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"ship/internal/plain"
)

const opLoad = "load image"

// maxLoadAnswer bounds what an engine says about one load; a line for each tag is usual.
const maxLoadAnswer = 4 << 20

// maxChunk is how many bytes of an archive one HTTP chunk carries: with its frame it just fits a packet of SSH (32 KiB).
const maxChunk = 32<<10 - 16

// loadGrace is how long one half of a load waits for the other when it has ended first.
const loadGrace = time.Second

// LoadResult is what a load brought: names as the engine writes them (repo:tag), and IDs of images without a name.
type LoadResult struct {
	Refs []string
	IDs  []string
}

// LoadImage streams the archive r into `docker load` and reads the engine's answer to its end. A load the engine
// reports as failed is a *LoadError, an error of r is returned wrapped. It says what the engine claimed: some tag
// broken images and call it a success, so inspect the image afterwards.
//
// When LoadImage returns, r is no longer in use, and closed if it can be: with the error if it is a pipe, so that a
// producer is never left blocked, also when the engine answers before it has read everything. A reader that may block
// for long must end its Read when closed.
func (c *Client) LoadImage(ctx context.Context, r io.Reader) (LoadResult, error) {
	in := &upload{r: r}
	res, err := c.loadImage(ctx, in)
	if rerr := in.end(err); rerr != nil && ctx.Err() == nil {
		var refused *LoadError
		if !errors.As(err, &refused) {
			err = fmt.Errorf("%s: read archive: %w", opLoad, rerr)
		}
	}
	if err != nil {
		return LoadResult{}, err
	}
	return res, nil
}

// loadImage has a connection of its own: http.Transport waits for the producer of a body even when the engine has
// answered, the link is gone or ctx has ended.
func (c *Client) loadImage(ctx context.Context, in *upload) (LoadResult, error) {
	select {
	case c.loads <- struct{}{}:
		defer func() { <-c.loads }()
	case <-ctx.Done():
		return LoadResult{}, transportError(ctx, opLoad, ctx.Err())
	}
	req, err := newRequest(ctx, post(opLoad, "/images/load", url.Values{"quiet": {"1"}}, in))
	if err != nil {
		return LoadResult{}, fmt.Errorf("%s: %w", opLoad, err)
	}
	req.Close = true
	conn, err := c.links.dial(ctx)
	if err != nil {
		return LoadResult{}, transportError(ctx, opLoad, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sent, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		in.send(req, conn, answered)
	}()
	res, err := receiveLoad(ctx, conn, req)
	if err == nil {
		// The engine may be done before the padding at the end of the archive is through.
		select {
		case <-sent:
		case <-time.After(loadGrace):
		}
	}
	close(answered)
	conn.Close()
	in.end(err)
	<-sent
	return res, err
}

// receiveLoad reads the answer to a load.
func receiveLoad(ctx context.Context, conn net.Conn, req *http.Request) (LoadResult, error) {
	resp, _, err := readHead(conn, req)
	if err != nil {
		return LoadResult{}, transportError(ctx, opLoad, err)
	}
	defer resp.Body.Close()
	if err := answerError(opLoad, resp); err != nil {
		return LoadResult{}, err
	}
	said, err := loadAnswer(resp.Body)
	if err != nil {
		return LoadResult{}, transportError(ctx, opLoad, err)
	}
	return said.result()
}

// loadSaid is an answer to a load, taken apart.
type loadSaid struct {
	text string // all "stream" values
	fail string // "" or the error the engine reports
}

// loadAnswer reads JSON values to the end of r: {"stream":"Loaded image: t:1\n"} or {"errorDetail":{"message":...}}.
func loadAnswer(r io.Reader) (loadSaid, error) {
	b, err := readBounded(r, maxLoadAnswer)
	if err != nil {
		return loadSaid{}, err
	}
	var said loadSaid
	var text strings.Builder
	for dec := json.NewDecoder(strings.NewReader(string(b))); ; {
		var m struct {
			Stream      string
			Error       string
			ErrorDetail struct{ Message string }
		}
		err := dec.Decode(&m)
		if err == io.EOF {
			said.text = text.String()
			return said, nil
		}
		if err != nil {
			return loadSaid{}, fmt.Errorf("unreadable answer: %w", err)
		}
		text.WriteString(m.Stream)
		if said.fail == "" {
			if said.fail = m.ErrorDetail.Message; said.fail == "" {
				said.fail = m.Error
			}
		}
	}
}

func (s loadSaid) result() (LoadResult, error) {
	if s.fail != "" {
		return LoadResult{}, &LoadError{Message: plain.Line(s.fail, maxText)}
	}
	var res LoadResult
	for line := range strings.Lines(s.text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Error unpacking") { // engines with a containerd store go on and answer success
			return LoadResult{}, &LoadError{Message: plain.Line(line, maxText)}
		}
		if id, ok := strings.CutPrefix(line, "Loaded image ID: "); ok {
			res.IDs = append(res.IDs, plain.Line(id, maxText))
		} else if ref, ok := strings.CutPrefix(line, "Loaded image: "); ok {
			res.Refs = append(res.Refs, plain.Line(ref, maxText))
		}
	}
	if len(res.Refs)+len(res.IDs) == 0 {
		text := plain.Line(s.text, maxText)
		if text == "" {
			text = "it said nothing"
		}
		return LoadResult{}, &LoadError{Message: "the engine loaded nothing: " + text}
	}
	return res, nil
}

// upload is an archive on its way: it remembers what went wrong while reading it.
type upload struct {
	r io.Reader

	mu   sync.Mutex
	over bool
	err  error // of r; never io.EOF
}

// send writes req, with u as its body, to conn. If the producer fails it breaks the connection off, so that the engine
// does not take what it has for whole. If the engine takes no more, its answer has loadGrace to arrive.
func (u *upload) send(req *http.Request, conn net.Conn, answered <-chan struct{}) {
	w := bufio.NewWriterSize(conn, 2*maxChunk) // a chunk leaves in one piece
	err := req.Write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		return
	}
	if u.failed() == nil {
		select {
		case <-answered:
		case <-time.After(loadGrace):
		}
	}
	conn.Close()
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.r.Read(p[:min(len(p), maxChunk)])
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil && err != io.EOF && !u.over {
		u.err = err
	}
	return n, err
}

// end closes r with the outcome of the load and returns what reading it failed with.
func (u *upload) end(outcome error) error {
	u.mu.Lock()
	u.over = true
	u.mu.Unlock()
	switch r := u.r.(type) {
	case *io.PipeReader:
		_ = r.CloseWithError(outcome) // never fails; the first reason stays
	case io.Closer:
		_ = r.Close() // what was read was whole, or its error is in u.err
	}
	return u.failed()
}

func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}
