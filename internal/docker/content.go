package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	contentService = "containerd.services.content.v1.Content/"
	maxContents    = 1 << 20 // blobs in one listing
)

// Content is a blob in an engine's containerd store.
type Content struct {
	Digest string
	Size   int64             // bytes
	Labels map[string]string // containerd.io/uncompressed = the diff ID of a layer that was unpacked
}

// ListContent lists the blobs an engine holds. It returns ErrUnsupported from an engine without the service (before
// 23); one with a graph driver answers with next to nothing. What is no part of an image (build records) is in the
// list too.
func (c *Client) ListContent(ctx context.Context) ([]Content, error) {
	s, err := c.grpcCall(ctx, "list content", contentService+"List", nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []Content
	for {
		b, err := s.next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if out, err = appendContents(out, b); err != nil {
			return nil, fmt.Errorf("%s: %w", s.op, err)
		}
	}
}

// ReadContent streams a blob from offset (bytes) on. Nothing in it is verified. An engine that has no such blob says so
// at once (ErrNotFound); a stream that ends early ends with an error. The caller closes it.
func (c *Client) ReadContent(ctx context.Context, digest string, offset int64) (io.ReadCloser, error) {
	const op = "read content"
	if offset < 0 {
		return nil, fmt.Errorf("%s: negative offset", op)
	}
	ask := pbAppendBytes(nil, 1, []byte(digest))
	ask = pbAppendInt(ask, 2, offset)
	s, err := c.grpcCall(ctx, op, contentService+"Read", ask)
	if err != nil {
		return nil, err
	}
	r := &contentReader{stream: s, at: -1}
	// The first message tells whether there is such a blob.
	if r.fill(); r.err != nil && r.err != io.EOF {
		s.close()
		return nil, r.err
	}
	return r, nil
}

// contentReader is the bytes of the messages of a Read.
type contentReader struct {
	stream *grpcStream
	at     int64  // offset of the next message; -1 = any
	buf    []byte // what is left of the last one
	err    error
}

func (r *contentReader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.buf) == 0 {
		return 0, r.err
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *contentReader) Close() error {
	r.stream.close()
	if r.err == nil {
		r.err = errors.New("read content: closed")
	}
	r.buf = nil
	return nil
}

func (r *contentReader) fill() {
	b, err := r.stream.next()
	if err != nil {
		r.err = err
		return
	}
	offset, data, err := parseRead(b)
	if r.at < 0 {
		r.at = offset // engines count from the start of the reading, not of the blob
	}
	if err == nil && offset != r.at {
		err = fmt.Errorf("byte %d instead of %d", offset, r.at)
	}
	if err != nil {
		r.err = fmt.Errorf("read content: %w", err)
		return
	}
	r.at += int64(len(data))
	r.buf = data
}

// parseRead reads a ReadContentResponse{int64 offset = 1; bytes data = 2}.
func parseRead(b []byte) (offset int64, data []byte, err error) {
	err = pbEach(b, func(f pbField) error {
		switch {
		case f.num == 1 && f.kind == wireVarint:
			offset = int64(f.value)
		case f.num == 2 && f.kind == wireBytes:
			data = f.bytes
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return offset, data, nil
}

// appendContents reads a ListContentResponse{repeated Info info = 1}.
func appendContents(out []Content, b []byte) ([]Content, error) {
	err := pbEach(b, func(f pbField) error {
		if f.num != 1 || f.kind != wireBytes {
			return nil
		}
		if len(out) >= maxContents {
			return fmt.Errorf("more than %d blobs", maxContents)
		}
		c, err := parseContent(f.bytes)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// parseContent reads an Info{string digest = 1; int64 size = 2; map<string, string> labels = 5}.
func parseContent(b []byte) (Content, error) {
	var c Content
	err := pbEach(b, func(f pbField) error {
		switch {
		case f.num == 1 && f.kind == wireBytes:
			c.Digest = string(f.bytes)
		case f.num == 2 && f.kind == wireVarint:
			c.Size = int64(f.value)
		case f.num == 5 && f.kind == wireBytes:
			k, v, err := parseEntry(f.bytes)
			if err != nil {
				return err
			}
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[k] = v
		}
		return nil
	})
	if err == nil && (c.Digest == "" || c.Size < 0) {
		err = fmt.Errorf("%w: blob %.80q of %d bytes", errProtobuf, c.Digest, c.Size)
	}
	if err != nil {
		return Content{}, err
	}
	return c, nil
}

// parseEntry reads an entry of a map<string, string>.
func parseEntry(b []byte) (key, value string, err error) {
	err = pbEach(b, func(f pbField) error {
		switch {
		case f.num == 1 && f.kind == wireBytes:
			key = string(f.bytes)
		case f.num == 2 && f.kind == wireBytes:
			value = string(f.bytes)
		}
		return nil
	})
	return key, value, err
}
