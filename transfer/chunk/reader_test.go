package chunk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

func TestReaderFollows(t *testing.T) {
	p, sums := content(3, 5*Size+77)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := openBlob(t, openStore(t, dir), "a")
		r := b.Reader(t.Context())
		var got []byte
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, err = io.ReadAll(r)
		}()
		synctest.Wait()
		for i, sum := range sums { // digests come while the blob grows
			if _, err := b.Announce(i, []Sum{sum}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if i != 2 {
				put(t, b, p, i)
			}
		}
		synctest.Wait()
		put(t, b, p, 2)
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the reader ended before the blob was finished")
		default:
		}
		if err := b.Finish(int64(len(p))); err != nil {
			t.Fatal(err)
		}
		<-done
		if err != nil || !bytes.Equal(got, p) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever ends the use of a blob ends those who wait for it.
func TestWaitersEnd(t *testing.T) {
	cause := errors.New("enough")
	ends := map[string]struct {
		end  func(b *Blob, r io.Closer, stop context.CancelCauseFunc)
		want error
	}{
		"close":  {func(b *Blob, _ io.Closer, _ context.CancelCauseFunc) { b.Close() }, ErrClosed},
		"remove": {func(b *Blob, _ io.Closer, _ context.CancelCauseFunc) { b.Remove() }, ErrClosed},
		"cancel": {func(_ *Blob, _ io.Closer, stop context.CancelCauseFunc) { stop(cause) }, cause},
		"reader": {func(_ *Blob, r io.Closer, _ context.CancelCauseFunc) { _ = r.Close() }, io.ErrClosedPipe},
	}
	for name, x := range ends {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := openBlob(t, openStore(t, dir), "a")
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				r := b.Reader(ctx)
				read := make(chan error)
				go func() {
					_, err := r.Read(make([]byte, 1))
					read <- err
				}()
				synctest.Wait()
				x.end(b, r, stop)
				if err := <-read; !errors.Is(err, x.want) {
					t.Errorf("read: %v", err)
				}
			})
		})
	}
}

func TestEmptyBlob(t *testing.T) {
	b := openBlob(t, openStore(t, t.TempDir()), "a")
	if err := b.Finish(0); err != nil || !b.Complete() {
		t.Fatalf("complete %t, %v", b.Complete(), err)
	}
	if got, err := io.ReadAll(b.Reader(t.Context())); err != nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
