package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// MismatchError: bytes that were read are not those that were named.
type MismatchError struct {
	Want, Got         Digest
	WantSize, GotSize int64 // bytes; WantSize -1 = was not known
}

func (e *MismatchError) Error() string {
	if e.WantSize >= 0 && e.WantSize != e.GotSize {
		return fmt.Sprintf("%s: want %d bytes, got %d", e.Want.Short(), e.WantSize, e.GotSize)
	}
	return fmt.Sprintf("digest mismatch: want %s, got %s", e.Want.Short(), e.Got.Short())
}

// verifier reads r and fails in place of its end if the bytes are not size bytes of digest want.
type verifier struct {
	r    io.ReadCloser
	want Digest
	size int64 // -1 = not known
	n    int64
	sum  hash.Hash
	err  error
}

func verify(r io.ReadCloser, want Digest, size int64) io.ReadCloser {
	return &verifier{r: r, want: want, size: size, sum: sha256.New()}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	v.n += int64(n)
	switch {
	case v.size >= 0 && v.n > v.size, err == io.EOF, v.n == v.size:
		// Checked with the last byte, not only at EOF: who reads exactly the size must see it too.
		if bad := v.check(); bad != nil {
			n, err = 0, bad
		}
	}
	v.err = err
	return n, err
}

func (v *verifier) Close() error { return v.r.Close() }

func (v *verifier) check() error {
	got := sumOf(v.sum)
	if got == v.want && (v.size < 0 || v.n == v.size) {
		return nil
	}
	return &MismatchError{Want: v.want, Got: got, WantSize: v.size, GotSize: v.n}
}

func sumOf(h hash.Hash) Digest { return Digest("sha256:" + hex.EncodeToString(h.Sum(nil))) }

// readMetadata reads a JSON document whole and verifies it; what names it in errors.
func readMetadata(r io.Reader, what string, want Digest) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMetadata+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(b) > maxMetadata {
		return nil, fmt.Errorf("read %s: larger than 16 MiB", what)
	}
	if got := DigestOf(b); want != "" && got != want {
		return nil, fmt.Errorf("read %s: %w", what, &MismatchError{Want: want, Got: got, WantSize: -1, GotSize: int64(len(b))})
	}
	return b, nil
}
