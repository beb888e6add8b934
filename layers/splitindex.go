package layers

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/storage"
)

const (
	// maxPieces bounds the memory of an index to 32 MB: so many files that are not empty.
	maxPieces = 2 << 20
	// maxSplitEntry bounds one entry of a record, in bytes. Tar-split makes none above 1.5 MB.
	maxSplitEntry = 16 << 20
	// maxPieceName bounds the path of a file, in bytes; Linux takes no longer ones.
	maxPieceName = 4096
	// openPieces is how many files of a layer are kept open.
	openPieces = 16
)

// splitIndex gives random access to the tar that tar-split took apart. A tar is a row of pieces: bytes that are only in
// the record (headers, padding), then the content of one file, whose own bytes are read where they are. The raw bytes
// and the names lie in a temporary file, of about 1 KB for each file of the layer; 16 bytes for each stay in memory.
// Nothing is verified. It is safe for concurrent use.
type splitIndex struct {
	raw    *os.File // of each piece: length of its raw bytes and of the file's name, both as uvarint, name, raw bytes
	starts []int64  // where pieces begin in the tar, and its end
	at     []int64  // where pieces begin in raw, and its end
	root   *os.Root
	files  *openFiles
}

// indexSplit reads the record of a layer once. The index owns root and raw then, also after an error.
func indexSplit(record io.Reader, root *os.Root, raw *os.File) (*splitIndex, error) {
	x := &splitIndex{raw: raw, root: root, files: newOpenFiles(openPieces)}
	if err := x.build(record); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

func (x *splitIndex) build(record io.Reader) error {
	z, err := gzip.NewReader(bufio.NewReader(record))
	if err != nil {
		return fmt.Errorf("tar-split: %w", err)
	}
	b := splitBuilder{index: x, w: bufio.NewWriterSize(x.raw, 64<<10)}
	// Not with storage.NewJSONUnpacker, which keeps all names in memory and takes entries of any size.
	lines := bufio.NewScanner(z)
	lines.Buffer(make([]byte, 0, 64<<10), maxSplitEntry)
	for position := 0; lines.Scan(); position++ {
		var e storage.Entry
		err := json.Unmarshal(lines.Bytes(), &e)
		if err == nil && e.Position != position {
			err = fmt.Errorf("entry %d in place of %d", e.Position, position)
		}
		if err == nil {
			err = b.add(&e)
		}
		if err != nil {
			return fmt.Errorf("tar-split: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("tar-split: %w", err)
	}
	if err := b.piece("", 0); err != nil { // what follows the last file
		return err
	}
	x.starts, x.at = append(x.starts, b.tarEnd), append(x.at, b.rawEnd)
	return b.w.Flush()
}

// splitBuilder collects what belongs to one piece.
type splitBuilder struct {
	index  *splitIndex
	w      *bufio.Writer
	raw    []byte // of the piece that is not complete
	tarEnd int64
	rawEnd int64
}

func (b *splitBuilder) add(e *storage.Entry) error {
	switch {
	case e.Type == storage.SegmentType:
		if b.raw = append(b.raw, e.Payload...); len(b.raw) < stepBytes {
			return nil
		}
		return b.piece("", 0) // long padding, or many empty files and folders
	case e.Type != storage.FileType || e.Size == 0:
		return nil // a folder, a link or a device has its header only
	case e.Size < 0 || e.Size > math.MaxInt64-b.tarEnd-int64(len(b.raw)):
		return fmt.Errorf("file of %d bytes", e.Size)
	}
	return b.piece(strings.TrimPrefix(path.Clean("/"+e.GetName()), "/"), e.Size)
}

// piece ends a piece with a file; size 0 = without one.
func (b *splitBuilder) piece(name string, size int64) error {
	x := b.index
	if len(name) > maxPieceName || len(x.starts) >= maxPieces || b.rawEnd > maxSplit {
		return fmt.Errorf("a name of %d bytes, or more than %d pieces", len(name), maxPieces)
	}
	x.starts, x.at = append(x.starts, b.tarEnd), append(x.at, b.rawEnd)
	head := binary.AppendUvarint(nil, uint64(len(b.raw)))
	head = binary.AppendUvarint(head, uint64(len(name)))
	b.tarEnd += int64(len(b.raw)) + size
	b.rawEnd += int64(len(head) + len(name) + len(b.raw))
	_, err := b.w.Write(head)
	_, err2 := b.w.WriteString(name)
	_, err3 := b.w.Write(b.raw)
	b.raw = b.raw[:0]
	return errors.Join(err, err2, err3)
}

func (x *splitIndex) Size() int64 { return x.starts[len(x.starts)-1] }

func (x *splitIndex) Close() error {
	return errors.Join(x.files.Close(), x.root.Close(), removeTemp(x.raw))
}

func (x *splitIndex) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read layer: offset %d", off)
	}
	// The last piece that begins at or before off.
	for i := sort.Search(len(x.starts), func(i int) bool { return x.starts[i] > off }) - 1; len(p) > 0; i++ {
		if i == len(x.starts)-1 {
			return n, io.EOF
		}
		got, err := x.readPiece(i, p[:min(int64(len(p)), x.starts[i+1]-off)], off-x.starts[i])
		n += got
		if err != nil {
			return n, fmt.Errorf("read layer: %w", err)
		}
		p, off = p[got:], off+int64(got)
	}
	return n, nil
}

// readPiece fills p from offset off of piece i, which goes so far.
func (x *splitIndex) readPiece(i int, p []byte, off int64) (n int, err error) {
	head := make([]byte, min(x.at[i+1]-x.at[i], 2*binary.MaxVarintLen64+maxPieceName))
	if _, err := x.raw.ReadAt(head, x.at[i]); err != nil {
		return 0, err
	}
	rawLen, a := binary.Uvarint(head)
	nameLen, b := binary.Uvarint(head[max(a, 0):])
	if a <= 0 || b <= 0 || nameLen > uint64(len(head)-a-b) {
		return 0, errors.New("index is damaged")
	}
	name := string(head[a+b : a+b+int(nameLen)])
	if raw := int64(rawLen); off < raw {
		n = int(min(int64(len(p)), raw-off))
		start := int64(a+b) + int64(nameLen) + off
		if inHead := head[min(start, int64(len(head))):]; len(inHead) >= n {
			copy(p, inHead[:n])
		} else if _, err := x.raw.ReadAt(p[:n], x.at[i]+start); err != nil {
			return 0, err
		}
		p, off = p[n:], raw
	}
	if len(p) == 0 {
		return n, nil
	}
	// Non-blocking: if somebody put a pipe in the file's place, there is an error instead of a wait.
	f, err := x.files.get(i, func() (*os.File, error) { return x.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) })
	if err != nil {
		return n, err
	}
	defer x.files.put(f)
	got, err := f.ReadAt(p, off-int64(rawLen))
	if got == len(p) {
		err = nil
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n + got, err
}
