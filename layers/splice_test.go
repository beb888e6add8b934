package layers

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// splicing puts the bytes in where they are named, as a host does.
type splicing struct{ bytes.Buffer }

func (s *splicing) Splice(l ArchiveLayer) error {
	r, err := l.Open()
	if err != nil {
		return err
	}
	_, err = io.Copy(&s.Buffer, r)
	return err
}

func TestSplicedArchiveIsTheSame(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 100_000} {
		data := []byte(strings.Repeat("x", size))
		d := DigestOf(data)
		config := []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["` + string(d) + `"]}}`)
		a := Archive{Config: config, Tag: "app:v1", Layers: []ArchiveLayer{{
			DiffID: DiffID(d), Blob: Blob{Digest: d, Size: int64(size)},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		}}}
		var plain bytes.Buffer
		if _, err := a.WriteTo(&plain); err != nil {
			t.Fatal(err)
		}
		var s splicing
		if err := a.WriteLayers(&s); err != nil {
			t.Fatal(err)
		}
		if err := a.WriteMetadata(&s); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(plain.Bytes(), s.Bytes()) {
			t.Errorf("%d bytes: the spliced archive differs", size)
		}
	}
}
