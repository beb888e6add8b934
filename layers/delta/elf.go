package delta

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// candidate is a packed part of a version, and what it is.
type candidate struct {
	name string // of the file and the section
	span
}

// leastPacked is the smallest part that is worth its work, in bytes.
const leastPacked = 4 << 10

// findPacked finds the packed sections of the executables in a tar. What it cannot read has none.
func findPacked(r io.ReaderAt, size int64) (found []candidate) {
	header := make([]byte, tarBlock)
	for at := int64(0); at+tarBlock <= size && len(found) < 1000; {
		if readFull(r, header, at) != nil {
			break
		}
		_, length, ok := parseHeader(header)
		if !ok || length > size-at-tarBlock {
			break
		}
		if length > leastPacked {
			name := string(header[:100])
			found = append(found, packedSections(r, at+tarBlock, length, name)...)
		}
		at += tarBlock + length
	}
	return found
}

// Offsets in an ELF file of 64 bits, its section headers and the header of a packed section.
const (
	elfHeader, elfSections, elfSectionSize, elfSectionCount = 64, 40, 58, 60
	sectionHeader, sectionFlags, sectionOffset, sectionSize = 64, 8, 24, 32
	packedFlag                                              = 0x800
	packedHeader, packedZlib                                = 24, 1
)

func packedSections(r io.ReaderAt, at, size int64, file string) (found []candidate) {
	le := binary.LittleEndian
	head := make([]byte, elfHeader)
	if readFull(r, head, at) != nil || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return nil
	}
	table, count := int64(le.Uint64(head[elfSections:])), int64(le.Uint16(head[elfSectionCount:]))
	if le.Uint16(head[elfSectionSize:]) != sectionHeader || table < 0 || table > size-count*sectionHeader {
		return nil
	}
	sections := make([]byte, count*sectionHeader)
	if readFull(r, sections, at+table) != nil {
		return nil
	}
	for i := 0; len(sections) > 0; i, sections = i+1, sections[sectionHeader:] {
		off, n := int64(le.Uint64(sections[sectionOffset:])), int64(le.Uint64(sections[sectionSize:]))
		if le.Uint64(sections[sectionFlags:])&packedFlag == 0 || off < 0 || n < leastPacked || off > size-n {
			continue
		}
		head := make([]byte, packedHeader)
		if readFull(r, head, at+off) != nil || le.Uint32(head) != packedZlib {
			continue
		}
		plain := le.Uint64(head[8:])
		if plain == 0 || plain > maxUnpacked {
			continue
		}
		found = append(found, candidate{fmt.Sprintf("%s %d", file, i), span{at + off + packedHeader, n - packedHeader, int64(plain)}})
	}
	return found
}

// pairPacked chooses the packed parts that both versions have, and which are not the same.
func pairPacked(old io.ReaderAt, oldSize int64, new io.ReaderAt, newSize int64) (oldLayout, newLayout layout) {
	oldLayout, newLayout = layout{size: oldSize}, layout{size: newSize}
	inNew := make(map[string]span)
	for _, c := range findPacked(new, newSize) {
		inNew[c.name] = c.span
	}
	oldLeft, newLeft := int64(maxUnpacked), int64(maxUnpacked)
	for _, c := range findPacked(old, oldSize) {
		s, both := inNew[c.name]
		delete(inNew, c.name)
		if !both || c.plain > oldLeft || s.plain > newLeft || len(oldLayout.spans) == maxSpans {
			continue
		}
		same := &comparer{r: new, at: s.at}
		if _, err := io.Copy(same, io.NewSectionReader(old, c.at, c.packed)); err == nil && c.packed == s.packed {
			continue
		}
		if _, err := inflate(old, c.span); err != nil || !packsAgain(new, s) {
			continue
		}
		oldLeft, newLeft = oldLeft-c.plain, newLeft-s.plain
		oldLayout.spans = append(oldLayout.spans, c.span)
		newLayout.spans = append(newLayout.spans, s)
	}
	sortSpans(oldLayout.spans)
	sortSpans(newLayout.spans)
	return oldLayout, newLayout
}
