package chunk

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// reopen closes a blob as a later run would find it.
func reopen(t *testing.T, b *Blob) *Blob {
	t.Helper()
	b.Close()
	return openBlob(t, b.store, b.name)
}

func TestResume(t *testing.T) {
	p, sums := content(1, 4*Size+10)
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	announce(t, b, sums, len(p))
	put(t, b, p, 0, 3, 4)
	b = reopen(t, b)
	if n := announce(t, b, sums, len(p)); n != 3 {
		t.Fatalf("%d chunks held, expected 3", n)
	}
	put(t, b, p, 1, 2)
	b = reopen(t, b)
	if n := announce(t, b, sums, len(p)); n != 5 || !b.Complete() {
		t.Errorf("%d chunks held", n)
	}
	b = reopen(t, b)
	q, others := content(2, 2*Size) // the name says what the blob is made of, not how
	copy(q, piece(p, 0))
	others[0] = sums[0]
	if n := announce(t, b, others, len(q)); n != 1 {
		t.Fatalf("%d chunks of another blob held, expected the common one", n)
	}
	put(t, b, q, 1)
	b = reopen(t, b)
	if n := announce(t, b, others, len(q)); n != 2 {
		t.Errorf("%d chunks held, expected 2", n)
	}
	b.Remove()
	if n := announce(t, openBlob(t, b.store, "a"), sums, len(p)); n != 0 {
		t.Errorf("%d chunks held after removal", n)
	}
}

// A layer that is there needs none of the forms in which earlier runs began to bring it.
func TestRemoveOtherForms(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for _, n := range []Name{"a.gzip", "a.base.patch", "a2.gzip", "b.a", "a.in-use"} {
		keep(t, s, dir, n, 1, 0)
	}
	used := openBlob(t, s, "a.in-use")
	openBlob(t, s, "a.made").Remove()
	want := []string{"a.in-use.data", "a.in-use.sums", "a2.gzip.data", "a2.gzip.sums", "b.a.data", "b.a.sums"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left: %q, expected %q", got, want)
	}
	used.Close()
}

// What a power loss, a full disk or a stranger does to the files costs chunks, never right bytes.
func TestTornFiles(t *testing.T) {
	p, sums := content(1, 4*Size+10)
	edit := func(suffix string, change func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, "a"+suffix)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(old), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		held   int
	}{
		{"nothing", func(*testing.T, string) {}, 5},
		{"a byte of chunk 1", edit(dataSuffix, func(b []byte) []byte { b[Size+5]++; return b }), 4},
		{"data cut in chunk 3", edit(dataSuffix, func(b []byte) []byte { return b[:3*Size+1] }), 3},
		{"no data", edit(dataSuffix, func([]byte) []byte { return nil }), 0},
		{"data of zeros", edit(dataSuffix, func(b []byte) []byte { return make([]byte, len(b)) }), 0},
		{"half a record", edit(logSuffix, func(b []byte) []byte { return b[:len(b)-7] }), 4},
		{"a record of zeros", edit(logSuffix, func(b []byte) []byte { clear(b[recordSize : 2*recordSize]); return b }), 4},
		{"a record of ones", edit(logSuffix, func(b []byte) []byte {
			return append(b, bytes.Repeat([]byte{255}, recordSize)...)
		}), 5},
		{"no records", edit(logSuffix, func([]byte) []byte { return nil }), 0},
		{"too many records", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "a"+logSuffix), (maxRecords+1)*int64(recordSize)); err != nil {
				t.Error(err)
			}
		}, 0},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			b := openBlob(t, s, "a")
			announce(t, b, sums, len(p))
			put(t, b, p, 0, 1, 2, 3, 4)
			b.Close()
			x.damage(t, dir)
			b = openBlob(t, s, "a")
			if n := announce(t, b, sums, len(p)); n != x.held {
				t.Errorf("%d chunks held, expected %d", n, x.held)
			}
			for i := range sums {
				if !b.Has(i) {
					put(t, b, p, i)
				}
			}
			b = reopen(t, b)
			if n := announce(t, b, sums, len(p)); n != len(sums) {
				t.Errorf("%d chunks held after all were put", n)
			}
			if got, err := io.ReadAll(b.Reader(t.Context())); err != nil || !bytes.Equal(got, p) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// A blob whose data shrinks under it tells so, and does not wait or invent.
func TestDataCutInUse(t *testing.T) {
	p, sums := content(1, 2*Size)
	dir := t.TempDir()
	b := openBlob(t, openStore(t, dir), "a")
	announce(t, b, sums, len(p))
	put(t, b, p, 0, 1)
	if err := os.Truncate(filepath.Join(dir, "a"+dataSuffix), Size+1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(1, nil); err == nil {
		t.Error("got a chunk that was cut off")
	}
	if got, err := io.ReadAll(b.Reader(t.Context())); err == nil || !bytes.HasPrefix(p, got) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// storeEnv is set in the process that TestTwoProcesses starts: this test binary again.
const storeEnv = "SHIP_TEST_CHUNK_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(storeEnv); dir != "" {
		if err := otherProcess(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// otherProcess holds blob a, with chunk 0 in it, until it is killed.
func otherProcess(dir string) error {
	s, err := Open(dir, 1<<30)
	if err != nil {
		return err
	}
	b, err := s.Blob("a")
	if err != nil {
		return err
	}
	p, sums := content(1, 2*Size)
	if _, err := b.Announce(0, sums); err != nil {
		return err
	}
	if _, err := b.Put(0, piece(p, 0)); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), storeEnv+"="+dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}

	p, sums := content(1, 2*Size)
	s, err := Open(dir, 0) // over the quota, but in use
	if err != nil {
		t.Fatal(err)
	}
	b := openBlob(t, s, "a")
	if n := announce(t, b, sums, len(p)); n != 0 {
		t.Errorf("%d chunks held of a blob that another process has", n)
	}
	put(t, b, p, 0, 1)
	if got, err := io.ReadAll(b.Reader(t.Context())); err != nil || !bytes.Equal(got, p) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if files := names(t, dir); len(files) != 2 {
		t.Errorf("a private blob is seen: %v", files)
	}
	b.Close()

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the other process was not killed")
	}
	b = openBlob(t, s, "a")
	if n := announce(t, b, sums, len(p)); n != 1 {
		t.Errorf("%d chunks held of what the killed process had, expected 1", n)
	}
	b.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if files := names(t, dir); len(files) != 0 {
		t.Errorf("over the quota of 0 stay %v", files)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
