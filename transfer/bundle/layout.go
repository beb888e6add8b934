package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"
)

const (
	block     = 512     // of a tar
	chunkSize = 1 << 20 // bytes of the file that a checksum covers
	maxUSTAR  = 8 << 30 // bytes: an entry of that size needs the header of GNU tar
)

// layout is where things are in the file. It follows from the header alone.
type layout struct {
	places []place // of the header and of all entries up to the checksums
	sums   int64   // offset of the checksums' entry; so many bytes they cover
	total  int64   // bytes of the file
}

// place of an entry.
type place struct {
	Entry
	at int64 // offset of its content; its tar header is the block before
}

func (p place) begin() int64 { return p.at - block }
func (p place) end() int64   { return p.at + padded(p.Size) }

// newLayout places the entries behind a header of so many bytes.
func newLayout(headerSize int64, entries []Entry) layout {
	l := layout{places: make([]place, 0, len(entries)+1)}
	at := int64(0)
	for _, e := range append([]Entry{{Name: headerName, Size: headerSize}}, entries...) {
		p := place{e, at + block}
		l.places = append(l.places, p)
		at = p.end()
	}
	l.sums = at
	l.total = at + tailSize(at)
	return l
}

// tailSize is how many bytes follow behind those that the checksums cover.
func tailSize(covered int64) int64 {
	return block + padded(chunks(covered)*sumLine) + endSize
}

func chunks(n int64) int64 { return (n + chunkSize - 1) / chunkSize }

func padded(n int64) int64 { return (n + block - 1) / block * block }

// tarHeader is the block in front of an entry. It depends on name and size alone, so that it can be checked, too.
func tarHeader(name string, size int64) ([]byte, error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if size >= maxUSTAR {
		h.Format = tar.FormatGNU
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// overlapping are the entries of which bytes from to to, their tar headers included, are a part.
func (l layout) overlapping(from, to int64) []place {
	var out []place
	for _, p := range l.places {
		if p.begin() < to && from < p.end() {
			out = append(out, p)
		}
	}
	return out
}

// name of an entry for people: which layer it is.
func (h Header) name(p place) string {
	for _, info := range h.Platforms {
		if p.Name == blobName(info.Config) {
			return "the config for " + info.Platform.String()
		}
		for i, l := range info.Layers {
			if l.Digest != "" && p.Name == blobName(l.Digest) {
				return fmt.Sprintf("layer %d of %d (%s) for %s", i+1, len(info.Layers), l.DiffID.Short(), info.Platform)
			}
		}
	}
	if p.Name == headerName {
		return "the header"
	}
	return p.Name
}
