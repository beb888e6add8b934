package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ship/internal/plain"
)

// maxLogFrame bounds one frame of a log stream. The largest message a log driver stores is 1 MB.
const maxLogFrame = 4 << 20

// LogOptions choose what Logs returns.
type LogOptions struct {
	Tail       int    // last lines; 0 = all
	Since      string // a duration back from now ("10m"), RFC 3339, or seconds since 1970; "" = all
	Follow     bool   // until the container ends
	Timestamps bool   // RFC 3339 in front of each line
}

// Logs returns what a container wrote, stdout and stderr in the order the engine kept them. The bytes are the
// container's own. Close it to stop following; the end of ctx does so too.
func (c *Client) Logs(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error) {
	const op = "container logs"
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}}
	if o.Tail > 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	if o.Follow {
		q.Set("follow", "1")
	}
	if o.Timestamps {
		q.Set("timestamps", "1")
	}
	if o.Since != "" {
		at, err := parseSince(o.Since, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		q.Set("since", at)
	}
	resp, err := c.open(ctx, get(op, "/containers/"+id+"/logs", q))
	if err != nil {
		return nil, err
	}
	framed, err := c.framed(ctx, id, resp.Header)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if !framed {
		return resp.Body, nil
	}
	return &logReader{demux: demux{r: resp.Body}, body: resp.Body}, nil
}

// framed tells whether a log stream is cut into frames: that of a container with a terminal is not. Engines before 23
// do not say so in the answer.
func (c *Client) framed(ctx context.Context, id string, h http.Header) (bool, error) {
	if h.Get("Content-Type") == "application/vnd.docker.multiplexed-stream" {
		return true, nil
	}
	info, err := c.InspectContainer(ctx, id)
	return !info.TTY, err
}

// parseSince returns seconds since 1970 as the API wants them.
func parseSince(s string, now time.Time) (string, error) {
	at := now
	if d, err := time.ParseDuration(s); err == nil {
		at = now.Add(-d)
	} else if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		at = t
	} else if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		at = time.Unix(n, 0)
	} else {
		return "", fmt.Errorf("since %q: want a duration (10m), a time (RFC 3339) or seconds since 1970", plain.Line(s, 80))
	}
	return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()), nil
}

// logReader is a log on its way, freed of its frames.
type logReader struct {
	demux
	body io.Closer
}

func (l *logReader) Close() error { return l.body.Close() }

// demux takes the frames off a stream: kind (0 stdin, 1 stdout, 2 stderr, 3 an error of the engine), three zeros, the
// length as a big-endian uint32, then that many bytes.
type demux struct {
	r    io.Reader
	left uint32 // of the current frame
}

func (d *demux) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.left == 0 {
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	n, err := d.r.Read(p[:min(len(p), int(d.left))])
	d.left -= uint32(n)
	if err == io.EOF && d.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (d *demux) next() error {
	var h [8]byte
	if _, err := io.ReadFull(d.r, h[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(h[4:])
	if h[0] > 3 || h[1]|h[2]|h[3] != 0 || size > maxLogFrame {
		return errors.New("container logs: broken stream")
	}
	if h[0] == 3 {
		b, err := readBounded(io.LimitReader(d.r, int64(size)), maxLogFrame)
		if err != nil {
			return err
		}
		return fmt.Errorf("container logs: the engine reports: %s", plain.Line(string(b), maxText))
	}
	d.left = size
	return nil
}
