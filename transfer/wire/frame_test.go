package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

// stream is a connection whose other end has said all already.
type stream struct {
	io.Reader
	io.Writer
}

func TestFrames(t *testing.T) {
	var line bytes.Buffer
	c := NewConn(&line)
	big := bytes.Repeat([]byte("0123456789abcdef"), MaxFrame/16)
	sent := []struct {
		kind  Kind
		parts [][]byte
	}{
		{1, nil}, {2, [][]byte{{}}}, {3, [][]byte{[]byte("a"), []byte("bc")}}, {255, [][]byte{big[:8], big[8:]}}, {0, [][]byte{big[:4<<10]}}, {9, [][]byte{big[:4<<10], {1}}},
	}
	for _, f := range sent {
		if err := c.Send(f.kind, f.parts...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Send(1, big, []byte{1}); !errors.Is(err, ErrFrame) {
		t.Errorf("a frame that is too long: %v", err)
	}
	for _, f := range sent {
		kind, p, err := c.Recv()
		if err != nil || kind != f.kind || !bytes.Equal(p, bytes.Join(f.parts, nil)) {
			t.Errorf("kind %d with %d bytes, %v; expected kind %d", kind, len(p), err, f.kind)
		}
	}
	if _, _, err := c.Recv(); err != io.EOF {
		t.Errorf("after the last frame: %v", err)
	}
}

// The end of the stream is io.EOF only between frames.
func TestFramesCut(t *testing.T) {
	var line bytes.Buffer
	if err := NewConn(&line).Send(7, []byte("payload")); err != nil {
		t.Fatal(err)
	}
	whole := line.Bytes()
	for n := range whole {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, p, err := NewConn(stream{bytes.NewReader(whole[:n]), nil}).Recv(); err != want || p != nil {
			t.Errorf("cut after %d bytes: %q, %v", n, p, err)
		}
	}
}

func TestSendersTakeTurns(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	const senders, each = 4, 20
	var all sync.WaitGroup
	defer all.Wait()
	to := NewConn(a)
	for i := range byte(senders) {
		all.Go(func() {
			for range each {
				if err := to.Send(Kind(i), bytes.Repeat([]byte{i}, 5000), bytes.Repeat([]byte{i}, 5000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	from := NewConn(b)
	for range senders * each {
		kind, p, err := from.Recv()
		if err != nil || !bytes.Equal(p, bytes.Repeat([]byte{byte(kind)}, 10000)) {
			t.Fatalf("kind %d with %d bytes, %v", kind, len(p), err)
		}
	}
}

// A length that is only claimed costs no memory.
func TestClaimedLength(t *testing.T) {
	for _, n := range []uint32{MaxFrame + 1, 1<<32 - 1} {
		head := binary.BigEndian.AppendUint32([]byte{1}, n)
		if _, p, err := NewConn(stream{bytes.NewReader(head), nil}).Recv(); !errors.Is(err, ErrFrame) || p != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzRecv(f *testing.F) {
	var line bytes.Buffer
	c := NewConn(&line)
	for _, err := range []error{
		c.Send(KindPing), c.SendChunk(KindChunk, Chunk{Blob: 1, Index: 2, Data: []byte("data")}), c.SendHave(Have{Blob: 1, Items: []HaveItem{{2, FromPeer}}}),
		c.SendAnnounce(KindAnnounce, Announce{Blob: 1, Sums: make([][SumSize]byte, 2)}), c.SendFinish(KindFinish, Finish{Blob: 1, Size: 1 << 40}),
		c.SendSeen(Seen{Blob: 1, Upto: 2}), c.SendID(KindLoadData, 7, []byte("piece")), c.SendJSON(KindHello, Hello{Version: 1, Run: "r"}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(line.Bytes())
	f.Add([]byte{1, 0, 0x11, 0, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c := NewConn(stream{bytes.NewReader(in), nil})
		var out bytes.Buffer
		again := NewConn(&out)
		read := 0
		for {
			kind, p, err := c.Recv()
			if err != nil {
				if p != nil || kind != 0 {
					t.Errorf("kind %d, %d bytes and %v", kind, len(p), err)
				}
				break
			}
			read += headerSize + len(p)
			if err := again.Send(kind, p); err != nil {
				t.Error(err)
			}
			parseAll(t, p)
		}
		if !bytes.Equal(out.Bytes(), in[:read]) {
			t.Error("what was read is not what is sent")
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4*MaxFrame+200*uint64(len(in)) {
			t.Errorf("%d bytes of memory for %d bytes of input", used, len(in))
		}
	})
}

// parseAll reads a payload as everything that it could be, and writes it again.
func parseAll(t *testing.T, p []byte) {
	t.Helper()
	var line bytes.Buffer
	c := NewConn(&line)
	same := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if _, q, err := c.Recv(); err != nil || !bytes.Equal(p, q) {
			t.Errorf("%s: %x becomes %x, %v", what, p, q, err)
		}
	}
	if a, err := ParseAnnounce(p); err == nil && len(a.Sums) > 0 && len(a.Sums) <= MaxSums {
		same("announce", c.SendAnnounce(1, a))
	}
	if x, err := ParseFinish(p); err == nil {
		if x.Size < 0 {
			t.Errorf("a size of %d", x.Size)
		}
		same("finish", c.SendFinish(1, x))
	}
	if x, err := ParseChunk(p); err == nil {
		same("chunk", c.SendChunk(1, x))
	}
	if x, err := ParseHave(p); err == nil {
		same("have", c.SendHave(x))
	}
	if x, err := ParseSeen(p); err == nil {
		same("seen", c.SendSeen(x))
	}
	if id, data, err := ParseID(p); err == nil {
		same("id", c.SendID(1, id, data))
	}
}
