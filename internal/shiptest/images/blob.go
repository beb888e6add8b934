package images

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// blob is a layer in a file of its own: a tar, gzipped, with its digests beside it in FILE.json, so that it need not
// be read to be named. It is a v1.Layer.
type blob struct {
	path   string
	record blobRecord
}

type blobRecord struct {
	Compressed   v1.Hash `json:"digest"`
	Uncompressed v1.Hash `json:"diff_id"`
	Bytes        int64   `json:"size"`          // compressed
	Unpacked     int64   `json:"unpacked_size"` // of the tar
}

// writeBlob makes path from the tar that write gives, compressed at the gzip level.
func writeBlob(path string, level int, write func(io.Writer) error) (_ *blob, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path) // half a layer is none
		}
	}()
	packed, plain := newCounter(), newCounter()
	buffered := bufio.NewWriterSize(io.MultiWriter(f, packed), 1<<20)
	zip, err := gzip.NewWriterLevel(buffered, level)
	if err != nil {
		return nil, err
	}
	if err := write(io.MultiWriter(zip, plain)); err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	if err := errors.Join(zip.Close(), buffered.Flush()); err != nil {
		return nil, err
	}
	b := &blob{path, blobRecord{packed.sum(), plain.sum(), packed.n, plain.n}}
	note, err := json.Marshal(b.record)
	if err != nil {
		return nil, err
	}
	return b, os.WriteFile(path+".json", note, 0o644)
}

// openBlob finds what writeBlob made.
func openBlob(path string) (*blob, error) {
	note, err := os.ReadFile(path + ".json")
	if err != nil {
		return nil, err
	}
	b := &blob{path: path}
	if err := json.Unmarshal(note, &b.record); err != nil {
		return nil, fmt.Errorf("%s.json: %w", path, err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != b.record.Bytes {
		return nil, fmt.Errorf("%s: not as it was written", path)
	}
	return b, nil
}

// Digest is that of the compressed layer.
func (b *blob) Digest() (v1.Hash, error) { return b.record.Compressed, nil }

// DiffID is the digest of the tar.
func (b *blob) DiffID() (v1.Hash, error) { return b.record.Uncompressed, nil }

// Size is that of the compressed layer, in bytes.
func (b *blob) Size() (int64, error) { return b.record.Bytes, nil }

// MediaType is OCI's for gzip.
func (b *blob) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed reads the layer as it is kept.
func (b *blob) Compressed() (io.ReadCloser, error) { return os.Open(b.path) }

// Uncompressed reads the tar.
func (b *blob) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{zip, f}, nil
}

// counter hashes and counts what is written to it.
type counter struct {
	hash.Hash
	n int64
}

func newCounter() *counter { return &counter{Hash: sha256.New()} }

// Write never fails.
func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.Hash.Write(b)
}

func (c *counter) sum() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.Sum(nil))}
}
