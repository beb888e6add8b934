package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

var errTooLong = errors.New("too long")

// readLines reads a head into cn.lines: each line ends with \n alone, a folded one is joined by a space (RFC 9112, 5.2), the
// empty one is left out.
func (cn *conn) readLines() error {
	cn.lines = cn.lines[:0]
	return cn.readMore()
}

// readMore reads what belongs to the lines that are there.
func (cn *conn) readMore() error {
	for begin := len(cn.lines); ; begin = len(cn.lines) {
		for {
			part, err := cn.in.ReadSlice('\n')
			if cn.budget -= len(part); cn.budget < 0 {
				return errTooLong
			}
			cn.lines = append(cn.lines, part...)
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return err
			}
		}
		line := bytes.TrimSuffix(cn.lines[begin:len(cn.lines)-1], []byte{'\r'})
		switch {
		case len(line) == 0 && begin == 0:
			return errors.New("it begins with an empty line")
		case len(line) == 0:
			cn.lines = cn.lines[:begin]
			return nil
		case (line[0] == ' ' || line[0] == '\t') && bytes.IndexByte(cn.lines, '\n')+1 < begin: // not of the first line, which parseHead refuses
			line = bytes.Trim(line, " \t")
			before := bytes.TrimRight(cn.lines[:begin-1], " \t")
			cn.lines = append(append(append(before, ' '), line...), '\n') // moves to the left: line is before what it is copied to
		default:
			cn.lines = append(cn.lines[:begin+len(line)], '\n')
		}
	}
}

// head is what stands before an answer's body.
type head struct {
	minor  int // 1 in HTTP/1.1
	status int
	text   string // "200 OK"
	header http.Header
}

// parseHead reads lines that each end with \n.
func parseHead(lines string) (h head, err error) {
	first, rest, _ := strings.Cut(lines, "\n")
	if err := h.parseStatus(first); err != nil {
		return h, err
	}
	n := strings.Count(rest, "\n")
	h.header = make(http.Header, n)
	values := make([]string, n) // one piece of memory for all
	for i := 0; rest != ""; i++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return h, fmt.Errorf("%.80q is no header", line)
		}
		value = strings.Trim(value, " \t")
		if !isText(value) {
			return h, fmt.Errorf("header %.80q: %w", name, errControl)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if all, ok := h.header[name]; ok {
			h.header[name] = append(all, value)
			continue
		}
		values[i] = value
		h.header[name] = values[i : i+1 : i+1]
	}
	return h, nil
}

// parseStatus reads "HTTP/1.1 200 OK".
func (h *head) parseStatus(line string) error {
	rest, ok := strings.CutPrefix(line, "HTTP/1.")
	if !ok || len(rest) < len("1 200") || rest[0] != '0' && rest[0] != '1' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return fmt.Errorf("%.80q is no status of HTTP/1", line)
	}
	for _, c := range rest[2:5] {
		if c < '0' || c > '9' {
			return fmt.Errorf("%.80q is no status of HTTP/1", line)
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 {
		return fmt.Errorf("%.80q is no status of HTTP/1", line)
	}
	h.minor, h.text = int(rest[0]-'0'), rest[2:]
	return nil
}

// framing is how the end of a body is found (RFC 9112, 6.3).
type framing struct {
	length   int64 // of the body in bytes; -1 = it is not said
	chunked  bool
	empty    bool // there is none, whatever length says
	reusable bool // the connection has a next answer
}

func (h *head) framing(method string) (f framing, err error) {
	f = framing{length: -1, reusable: h.keepsAlive()}
	encodings, lengths := h.header["Transfer-Encoding"], h.header["Content-Length"]
	if len(encodings) > 0 {
		if len(encodings) > 1 || !strings.EqualFold(encodings[0], "chunked") || h.minor == 0 {
			return f, fmt.Errorf("transfer encoding %.80q", strings.Join(encodings, ", "))
		}
		delete(h.header, "Transfer-Encoding")
		f.chunked = true
	}
	if len(lengths) > 0 {
		for _, l := range lengths[1:] {
			if l != lengths[0] {
				return f, fmt.Errorf("two lengths, %.20q and %.20q", lengths[0], l)
			}
		}
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil {
			return f, fmt.Errorf("content length %.80q", lengths[0])
		}
		h.header["Content-Length"] = lengths[:1]
		f.length = int64(n)
	}
	if f.chunked && len(lengths) > 0 { // who reads it by the length sees another body: the chunks count, and this is the last answer here
		delete(h.header, "Content-Length")
		f.length, f.reusable = -1, false
	}
	switch {
	case method == http.MethodHead:
		f.empty = true
	case h.status == http.StatusNoContent || h.status == http.StatusNotModified:
		f.empty, f.length = true, 0
	case f.length == 0:
		f.empty = true
	case f.length < 0 && !f.chunked: // it ends with the connection
		f.reusable = false
	}
	return f, nil
}

func (h *head) keepsAlive() bool {
	keep := h.minor >= 1
	for _, line := range h.header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			if strings.EqualFold(token, "close") {
				return false
			}
			keep = keep || strings.EqualFold(token, "keep-alive")
		}
	}
	return keep
}
