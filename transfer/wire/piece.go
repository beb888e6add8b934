package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Pieces are an archive on its way to a helper, which puts the layers in itself: bytes as they are, and in place of
// each layer the blob to take it from. A piece is a kind, a length as big-endian uint32, and so many bytes.
const (
	pieceBytes byte = 'b'
	pieceBlob  byte = 'l' // a Splice as JSON
)

// maxPiece bounds a piece in bytes.
const maxPiece = 64 << 10

// Splice stands for a layer in an archive.
type Splice struct {
	Blob uint32 `json:"blob"`
	Size int64  `json:"size"` // bytes that it puts into the archive
	// Unpack: the blob is compressed with zstd, which the host's engine does not read.
	Unpack bool `json:"unpack,omitempty"`
	// Own: there is no blob, it is the layer Base itself, unpacked.
	Own bool `json:"own,omitempty"`
	// Base is set if the blob is a patch: the layer, by diff ID, of an image on the host that it starts from.
	Base      string `json:"base,omitempty"`
	BaseImage string `json:"base_image,omitempty"`
}

// PieceWriter writes an archive in pieces. Its errors are w's.
type PieceWriter struct{ w io.Writer }

// NewPieceWriter writes pieces to w.
func NewPieceWriter(w io.Writer) PieceWriter { return PieceWriter{w} }

// Write writes bytes of the archive.
func (p PieceWriter) Write(b []byte) (int, error) {
	done := 0
	for len(b) > 0 {
		n := min(len(b), maxPiece)
		if err := p.piece(pieceBytes, b[:n]); err != nil {
			return done, err
		}
		done, b = done+n, b[n:]
	}
	return done, nil
}

// Splice puts a layer in.
func (p PieceWriter) Splice(s Splice) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return p.piece(pieceBlob, b)
}

func (p PieceWriter) piece(kind byte, b []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b)))
	_, err := p.w.Write(append(head, b...))
	return err
}

// CopyPieces writes the archive that r has in pieces to w; open gives the bytes of a layer, exactly Size of them. An
// error of open or of what it returns is returned as it is.
func CopyPieces(w io.Writer, r io.Reader, open func(Splice) (io.ReadCloser, error)) error {
	var head [5]byte
	buf := make([]byte, maxPiece)
	for {
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n > maxPiece {
			return fmt.Errorf("%w: a piece of %d bytes", ErrFrame, n)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return unexpected(err)
		}
		if err := copyPiece(w, head[0], buf[:n], open); err != nil {
			return err
		}
	}
}

func copyPiece(w io.Writer, kind byte, b []byte, open func(Splice) (io.ReadCloser, error)) error {
	switch kind {
	case pieceBytes:
		_, err := w.Write(b)
		return err
	case pieceBlob:
		s, err := Parse[Splice](b)
		if err != nil {
			return err
		}
		layer, err := open(s)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, layer)
		if err == nil && n != s.Size {
			err = fmt.Errorf("a layer of %d bytes, expected %d", n, s.Size)
		}
		return errors.Join(err, layer.Close())
	}
	return fmt.Errorf("%w: a piece of kind %d", ErrFrame, kind)
}
