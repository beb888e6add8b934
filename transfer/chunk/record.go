package chunk

import (
	"encoding/binary"
	"io"
	"os"
)

// Sum is a chunk's SHA-256.
type Sum [32]byte

// record is what the side file says of a chunk: big-endian index and length, and the digest.
type record struct {
	length int
	sum    Sum
}

const recordSize = 4 + 4 + len(Sum{})

// maxRecords bounds a side file that is read: a chunk may be recorded again when a blob's bytes have changed.
const maxRecords = 2 * MaxChunks

func (r record) bytes(index int) []byte {
	p := binary.BigEndian.AppendUint32(make([]byte, 0, recordSize), uint32(index))
	p = binary.BigEndian.AppendUint32(p, uint32(r.length))
	return append(p, r.sum[:]...)
}

// readRecords reads a side file up to its last whole record, and tells where the next one goes. The last record of a
// chunk counts. What cannot be a record is passed over.
func readRecords(f *os.File) (map[int]record, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	n := info.Size() / int64(recordSize)
	if n > maxRecords {
		return nil, 0, f.Truncate(0)
	}
	all := make(map[int]record)
	buf := make([]byte, 1024*recordSize)
	for off := int64(0); off < n*int64(recordSize); {
		p := buf[:min(int64(len(buf)), n*int64(recordSize)-off)]
		if _, err := f.ReadAt(p, off); err != nil && err != io.EOF {
			return nil, 0, err
		}
		off += int64(len(p))
		for ; len(p) > 0; p = p[recordSize:] {
			index, length := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
			if index < MaxChunks && length > 0 && length <= Size {
				all[int(index)] = record{int(length), Sum(p[8:recordSize])}
			}
		}
	}
	return all, n * int64(recordSize), nil
}
