package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"ship/internal/event"
)

// Verify reads the whole bundle: every chunk against its checksum, every entry against its digest, and all between as
// Write would write it, so that tar shows what ship reads.
func (f *File) Verify(ctx context.Context, emit event.Func) error {
	tell := &progress{emit: emit, event: event.Event{Type: event.Progress, Phase: "verify", Total: f.layout.sums}}
	r := &tracking{ctx, f.section(0, f.layout.sums), tell}
	for _, p := range f.layout.places {
		if err := f.verifyEntry(r, p); err != nil {
			return fmt.Errorf("verify bundle: %w", err)
		}
	}
	return nil
}

func (f *File) verifyEntry(r io.Reader, p place) error {
	bad, err := f.frame(r, p, func() (bool, error) {
		fine, err := contentFits(r, p)
		return fine || p.Name == headerName, err // the header was compared when the file was opened
	})
	if err == nil && bad != "" {
		err = f.damage(p.begin(), p.end()-p.begin(), bad+", which is not as it was written")
	}
	return err
}

// frame reads an entry, its tar header and its padding from r, and says what of it is not as it was written, for
// people; "" = nothing. What comes between the two is read and judged by content.
func (f *File) frame(r io.Reader, p place, content func() (bool, error)) (bad string, err error) {
	want, err := tarHeader(p.Name, p.Size)
	if err != nil {
		return "", err
	}
	got := make([]byte, block)
	if _, err := io.ReadFull(r, got); err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "the tar header of " + f.Header.name(p), nil
	}
	if fine, err := content(); err != nil || !fine {
		return f.Header.name(p), err
	}
	padding := got[:padded(p.Size)-p.Size]
	if _, err := io.ReadFull(r, padding); err != nil {
		return "", err
	}
	if len(bytes.TrimLeft(padding, "\x00")) > 0 {
		return "the padding of " + f.Header.name(p), nil
	}
	return "", nil
}

// contentFits reads the content of an entry and compares it with its digest.
func contentFits(r io.Reader, p place) (bool, error) {
	sum := sha256.New()
	_, err := io.CopyBuffer(sum, onlyReader{io.LimitReader(r, p.Size)}, make([]byte, 256<<10))
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)) == string(p.SHA256), err
}

// hit says what the damage in chunk k is in. Where several entries have a part in the chunk, their frames tell, then
// their digests: the largest needs not be read, for if nothing else is hit, it is.
func (f *File) hit(k int64) string {
	all := f.layout.overlapping(k*chunkSize, (k+1)*chunkSize)
	for _, p := range all {
		r := io.NewSectionReader(f.data, p.begin(), p.end()-p.begin())
		bad, err := f.frame(r, p, func() (bool, error) {
			_, err := r.Seek(p.Size, io.SeekCurrent)
			return true, err
		})
		if err != nil || bad != "" {
			return cmp.Or(bad, f.Header.name(p))
		}
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Compare(a.Size, b.Size) })
	for _, p := range all[:len(all)-1] {
		fine, err := contentFits(io.NewSectionReader(f.data, p.at, p.Size), p)
		if p.Name != headerName && (err != nil || !fine) {
			return f.Header.name(p)
		}
	}
	return f.Header.name(all[len(all)-1])
}

// tracking counts what is read, and fails once ctx ends. It lives as long as one Verify, whose ctx it is.
type tracking struct {
	ctx     context.Context
	section *section
	tell    *progress
}

func (t *tracking) Read(b []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	n, err := t.section.Read(b)
	t.tell.add(int64(n))
	return n, err
}
