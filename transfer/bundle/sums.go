package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"ship/layers"
)

const (
	sumLine = 2*sha256.Size + 1 // bytes: hex and a newline

	// endSize is the end record's entry and the two empty blocks that end a tar: the last bytes of every bundle.
	endSize = block + endContent + 2*block
	// endContent is the end record, filled up with spaces.
	endContent = block
)

// endRecord is the last entry: from it a reader finds and checks the rest.
type endRecord struct {
	Version    int           `json:"version"`
	HeaderSize int64         `json:"header_size"`
	HeaderSum  layers.Digest `json:"header_sha256"`
	SumsOffset int64         `json:"sums_offset"` // of the tar header of the checksums
	SumsSum    layers.Digest `json:"sums_sha256"`
}

// sums are the checksums of a file's chunks, one after the other.
type sums []byte

// fit tells whether b is what chunk k was.
func (s sums) fit(k int64, b []byte) bool {
	sum := sha256.Sum256(b)
	return bytes.Equal(sum[:], s[k*sha256.Size:(k+1)*sha256.Size])
}

// text is the list of checksums as it is written.
func (s sums) text() []byte {
	out := make([]byte, 0, len(s)/sha256.Size*sumLine)
	for ; len(s) > 0; s = s[sha256.Size:] {
		out = append(hex.AppendEncode(out, s[:sha256.Size]), '\n')
	}
	return out
}

// parseSums reads what text wrote.
func parseSums(text []byte) (sums, error) {
	if len(text)%sumLine != 0 {
		return nil, fmt.Errorf("%d bytes", len(text))
	}
	out := make(sums, 0, len(text)/sumLine*sha256.Size)
	for ; len(text) > 0; text = text[sumLine:] {
		var err error
		if out, err = hex.AppendDecode(out, text[:sumLine-1]); err != nil || text[sumLine-1] != '\n' {
			return nil, errors.New("not a list of checksums")
		}
	}
	return out, nil
}

// newEnd is the end record of a bundle whose checksums s cover so many bytes.
func newEnd(covered int64, header []byte, s sums) endRecord {
	return endRecord{bundleVersion, int64(len(header)), layers.DigestOf(header), covered, layers.DigestOf(s.text())}
}

// tail is what follows the bytes that s covers: the checksums, the end record and the end of the tar.
func tail(end endRecord, s sums) ([]byte, error) {
	text := s.text()
	record, err := json.Marshal(end)
	if err != nil {
		return nil, err
	}
	if len(record) >= endContent {
		return nil, fmt.Errorf("end record of %d bytes", len(record))
	}
	record = append(record, bytes.Repeat([]byte{' '}, endContent-1-len(record))...)
	record = append(record, '\n')
	out := make([]byte, 0, tailSize(end.SumsOffset))
	for _, e := range []struct {
		name string
		data []byte
	}{{sumsName, text}, {endName, record}} {
		h, err := tarHeader(e.name, int64(len(e.data)))
		if err != nil {
			return nil, err
		}
		out = append(append(out, h...), e.data...)
		out = append(out, make([]byte, padded(int64(len(e.data)))-int64(len(e.data)))...)
	}
	return append(out, make([]byte, 2*block)...), nil
}

// parseEnd reads the last endSize bytes of a file.
func parseEnd(b []byte) (endRecord, error) {
	var end endRecord
	h, err := tarHeader(endName, endContent)
	if err != nil {
		return end, err
	}
	if len(b) != endSize || !bytes.Equal(b[:block], h) || len(bytes.TrimLeft(b[block+endContent:], "\x00")) > 0 {
		return end, errors.New("no end record")
	}
	if err := json.Unmarshal(b[block:block+endContent], &end); err != nil {
		return end, fmt.Errorf("end record: %w", err)
	}
	_, err = layers.ParseDigest(string(end.HeaderSum))
	switch {
	case end.Version != bundleVersion || err != nil:
		return end, errors.New("end record is not of this format")
	case end.HeaderSize <= 0 || end.HeaderSize > maxHeader || end.SumsOffset < block || end.SumsOffset > maxSize:
		return end, fmt.Errorf("end record: header of %d bytes, checksums at %d", end.HeaderSize, end.SumsOffset)
	}
	return end, nil
}

// summer passes bytes on and takes a checksum of every chunk.
type summer struct {
	w    io.Writer
	n    int64
	sum  hash.Hash // of the chunk so far
	sums sums
}

func newSummer(w io.Writer) *summer { return &summer{w: w, sum: sha256.New()} }

func (s *summer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	for p := p[:n]; len(p) > 0; {
		take := min(int64(len(p)), chunkSize-s.n%chunkSize)
		s.sum.Write(p[:take])
		s.n += take
		p = p[take:]
		if s.n%chunkSize == 0 {
			s.next()
		}
	}
	return n, err
}

func (s *summer) next() {
	s.sums = s.sum.Sum(s.sums)
	s.sum.Reset()
}

// finish ends the last chunk and returns all checksums.
func (s *summer) finish() sums {
	if s.n%chunkSize != 0 {
		s.next()
	}
	return s.sums
}
