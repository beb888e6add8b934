package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrPatch: these bytes are not a patch, or a damaged one.
	ErrPatch = errors.New("bad patch")
	// ErrSignature: these bytes are not a signature, or a damaged one.
	ErrSignature = errors.New("bad signature")
	// ErrMismatch: the base is not what the patch was made for, or one of the two is damaged.
	ErrMismatch = errors.New("the result is not the target")
)

// MismatchError says what came out instead of the target. It wraps ErrMismatch.
type MismatchError struct {
	Want, Got [32]byte // SHA-256
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%v: it has SHA-256 %x, not %x", ErrMismatch, e.Got[:6], e.Want[:6])
}

func (e *MismatchError) Unwrap() error { return ErrMismatch }

// Header is what a patch says of itself, first in the stream.
type Header struct {
	Base, Target         [32]byte // SHA-256 of both: the diff IDs
	BaseSize, TargetSize int64    // bytes
}

const (
	// patchMagic ends in the version of the format.
	patchMagic = "shipdlt\x01"
	// headerSize in bytes: the magic, two digests, two sizes.
	headerSize = len(patchMagic) + 2*32 + 2*8
	// maxSize bounds base and target, so that no sum of an offset and a length overflows.
	maxSize = 1 << 56
)

func (h *Header) check() error {
	if h.BaseSize < 0 || h.BaseSize > maxSize || h.TargetSize < 0 || h.TargetSize > maxSize {
		return fmt.Errorf("base of %d bytes, target of %d", h.BaseSize, h.TargetSize)
	}
	return nil
}

func (h *Header) encode() []byte {
	b := append(make([]byte, 0, headerSize), patchMagic...)
	b = append(b, h.Base[:]...)
	b = append(b, h.Target[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.BaseSize))
	return binary.BigEndian.AppendUint64(b, uint64(h.TargetSize))
}

// ReadHeader reads the header of a patch and not a byte more. What is no header is ErrPatch.
func ReadHeader(r io.Reader) (Header, error) {
	var h Header
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return Header{}, cutError(ErrPatch, "read header", err)
	}
	if string(b[:len(patchMagic)]) != patchMagic {
		return Header{}, fmt.Errorf("%w: it begins with %q", ErrPatch, b[:len(patchMagic)])
	}
	b = b[len(patchMagic):]
	b = b[copy(h.Base[:], b):]
	b = b[copy(h.Target[:], b):]
	h.BaseSize = int64(binary.BigEndian.Uint64(b))
	h.TargetSize = int64(binary.BigEndian.Uint64(b[8:]))
	if err := h.check(); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrPatch, err)
	}
	return h, nil
}

// cutError is for what failed while a patch or a signature was read: the end of the stream is a damage of it.
func cutError(bad error, act string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s: it is cut off", bad, act)
	}
	return fmt.Errorf("%s: %w", act, err)
}
