package chunk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// content makes a blob's bytes and its digests.
func content(seed byte, size int) ([]byte, []Sum) {
	p := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(p) // never fails
	var sums []Sum
	for i := range chunks(int64(size)) {
		sums = append(sums, sha256.Sum256(piece(p, i)))
	}
	return p, sums
}

func piece(p []byte, i int) []byte { return p[i*Size : min(len(p), (i+1)*Size)] }

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it, to look at what stays
	return s
}

func openBlob(t *testing.T, s *Store, n Name) *Blob {
	t.Helper()
	b, err := s.Blob(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// announce announces all and returns how many chunks are held.
func announce(t *testing.T, b *Blob, sums []Sum, size int) int {
	t.Helper()
	have, err := b.Announce(0, sums)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(int64(size)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, there := range have {
		if there != b.Has(i) {
			t.Errorf("chunk %d: announce says %t", i, there)
		}
		if there {
			n++
		}
	}
	if n != b.Count() {
		t.Errorf("announce says %d chunks are held, count %d", n, b.Count())
	}
	return n
}

func put(t *testing.T, b *Blob, p []byte, indexes ...int) {
	t.Helper()
	for _, i := range indexes {
		if fresh, err := b.Put(i, piece(p, i)); err != nil || !fresh {
			t.Fatalf("put chunk %d: fresh %t, %v", i, fresh, err)
		}
	}
}

func TestNames(t *testing.T) {
	s := openStore(t, t.TempDir())
	for name, ok := range map[string]bool{
		"sha256-ab.zst": true, "a": true, "...": true, "": false, "A": false, "a/b": false, "a b": false, "a\x00": false, "ä": false,
		string(bytes.Repeat([]byte("x"), 160)): true, string(bytes.Repeat([]byte("x"), 161)): false,
	} {
		b, err := s.Blob(Name(name))
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			b.Remove()
		}
	}
}

func TestPutAndGet(t *testing.T) {
	p, sums := content(1, 2*Size+100)
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	if _, err := b.Put(0, piece(p, 0)); !errors.Is(err, ErrUnknown) {
		t.Errorf("put before the announcement: %v", err)
	}
	if n := announce(t, b, sums, len(p)); n != 0 || b.Known() != 3 {
		t.Fatalf("%d held, %d known", n, b.Known())
	}
	put(t, b, p, 2, 0)
	if fresh, err := b.Put(0, piece(p, 0)); err != nil || fresh {
		t.Errorf("put again: fresh %t, %v", fresh, err)
	}
	for _, x := range []struct {
		index int
		data  []byte
		bad   bool
	}{{1, piece(p, 0), true}, {1, nil, true}, {1, p, true}, {3, piece(p, 0), false}, {-1, piece(p, 0), false}} {
		_, err := b.Put(x.index, x.data)
		var bad *BadError
		if errors.As(err, &bad) != x.bad || !x.bad && !errors.Is(err, ErrUnknown) {
			t.Errorf("put %d bytes as chunk %d: %v", len(x.data), x.index, err)
		}
		if x.bad && bad != nil && bad.Index != x.index {
			t.Errorf("blames chunk %d", bad.Index)
		}
	}
	if got, err := b.Get(2, make([]byte, 7)); err != nil || !bytes.Equal(got, piece(p, 2)) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
	for _, i := range []int{1, 3, -1} {
		if _, err := b.Get(i, nil); !errors.Is(err, ErrMissing) {
			t.Errorf("get %d: %v", i, err)
		}
	}
	if b.Complete() || b.Count() != 2 {
		t.Errorf("complete with %d chunks", b.Count())
	}
	put(t, b, p, 1)
	if size, ok := b.Size(); !b.Complete() || !ok || size != int64(len(p)) {
		t.Errorf("not complete, size %d, %t", size, ok)
	}
}

func TestAnnounceRules(t *testing.T) {
	p, sums := content(1, 3*Size)
	other := slices.Clone(sums)
	other[1][0]++
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	steps := []struct {
		name  string
		first int
		sums  []Sum
		ok    bool
	}{
		{"a gap", 1, sums[1:], false},
		{"before the start", -1, sums, false},
		{"the first two", 0, sums[:2], true},
		{"the same", 0, sums[:2], true},
		{"others", 0, other, false},
		{"overlapping", 1, sums[1:], true},
		{"too many", 3, make([]Sum, MaxChunks-2), false},
		{"nothing", 3, nil, true},
	}
	for _, x := range steps {
		if _, err := b.Announce(x.first, x.sums); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	for _, size := range []int64{-1, 0, 2 * Size, 3*Size + 1, 1 << 62} {
		if err := b.Finish(size); err == nil {
			t.Errorf("finished with %d bytes", size)
		}
	}
	put(t, b, p, 2)
	if err := b.Finish(2*Size + 5); err == nil {
		t.Error("finished with a last chunk that is longer")
	}
	for range 2 {
		if err := b.Finish(3 * Size); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Announce(3, sums[:1]); err == nil {
		t.Error("announced after the end")
	}
}

// Only the last chunk may be short, though its digest be right.
func TestShortChunk(t *testing.T) {
	short := []byte("short")
	sums := []Sum{sha256.Sum256(short), sha256.Sum256(short)}
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	if _, err := b.Announce(0, sums[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(0, short); err != nil { // may be the last
		t.Fatal(err)
	}
	if _, err := b.Announce(1, sums[1:]); err != nil {
		t.Fatal(err)
	}
	r := b.Reader(t.Context())
	defer r.Close()
	if got, err := io.ReadAll(r); err == nil || string(got) != "short" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := b.Finish(Size + 5); err == nil {
		t.Error("finished with a short chunk in the middle")
	}
	c := openBlob(t, b.store, "b")
	if _, err := c.Announce(0, sums); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(0, short); err == nil {
		t.Error("a short chunk in the middle was stored")
	}
}

func TestAfterClose(t *testing.T) {
	p, sums := content(1, Size)
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	announce(t, b, sums, len(p))
	put(t, b, p, 0)
	b.Close()
	b.Close()
	b.Remove()
	_, announced := b.Announce(0, sums)
	_, wrote := b.Put(0, p)
	_, got := b.Get(0, nil)
	for _, err := range []error{announced, wrote, got, b.Finish(Size), b.Wait(t.Context())} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
}

// Many write, read and follow at once; every chunk is fresh for exactly one.
func TestConcurrentUse(t *testing.T) {
	p, sums := content(5, 16*Size+9)
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	announce(t, b, sums, len(p))
	var all sync.WaitGroup
	var mu sync.Mutex
	fresh := 0
	for range 3 {
		all.Go(func() {
			for _, i := range rand.Perm(len(sums)) {
				was, err := b.Put(i, piece(p, i))
				if err != nil {
					t.Error(err)
				}
				if was {
					mu.Lock()
					fresh++
					mu.Unlock()
				}
				if got, err := b.Get(i, nil); err != nil || !bytes.Equal(got, piece(p, i)) {
					t.Errorf("chunk %d: %v", i, err)
				}
			}
		})
		all.Go(func() {
			if got, err := io.ReadAll(b.Reader(t.Context())); err != nil || !bytes.Equal(got, p) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if fresh != len(sums) {
		t.Errorf("%d fresh of %d", fresh, len(sums))
	}
}

func TestStoreFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "store")
	openBlob(t, openStore(t, dir), "a")
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Chown(dir, 4242, -1); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir, 0); err == nil {
		t.Error("another user's folder was opened")
		_ = s.Close() // the test has failed already
	}
}
