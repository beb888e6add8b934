package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func logFrame(kind byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind, 0, 0, 0}, uint32(len(text))), text...)
}

func TestDemux(t *testing.T) {
	stream := bytes.Join([][]byte{logFrame(1, "out 1\n"), logFrame(2, "err 1\n"), logFrame(1, ""), logFrame(1, "out"), logFrame(1, " 2\n")}, nil)
	for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream)), iotest.DataErrReader(bytes.NewReader(stream))} {
		got, err := io.ReadAll(&demux{r: r})
		if want := "out 1\nerr 1\nout 2\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestDemuxBroken(t *testing.T) {
	whole := logFrame(1, "line\n")
	for cut := 1; cut < len(whole); cut++ {
		if _, err := io.ReadAll(&demux{r: bytes.NewReader(whole[:cut])}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v, want unexpected EOF", cut, err)
		}
	}
	for name, tc := range map[string]struct{ in, want string }{
		"not framed":   {"plain text of a terminal", "broken stream"},
		"too long":     {"\x01\x00\x00\x00\xff\xff\xff\xff", "broken stream"},
		"engine error": {string(logFrame(3, "driver \x1b[1mgone\n")), "the engine reports: driver gone"},
	} {
		if _, err := io.ReadAll(&demux{r: strings.NewReader(tc.in)}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func FuzzDemux(f *testing.F) {
	f.Add(append(logFrame(1, "out\n"), logFrame(2, "err\n")...))
	f.Add([]byte("no frames"))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 9, 'x'})
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := io.ReadAll(&demux{r: bytes.NewReader(in)})
		slow, serr := io.ReadAll(&demux{r: iotest.OneByteReader(bytes.NewReader(in))})
		if !bytes.Equal(all, slow) || (err == nil) != (serr == nil) {
			t.Fatalf("%q %v at once, %q %v by the byte", all, err, slow, serr)
		}
		if len(all) > len(in) {
			t.Fatal("more out than in")
		}
	})
}

// A container with a terminal: an old engine names no type, so the client asks.
func TestLogsOfTerminal(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/json") {
			_, _ = io.WriteString(w, `{"Id":"x","Config":{"Tty":true}}`)
			return
		}
		_, _ = io.WriteString(w, "raw bytes")
	})
	r, err := c.Logs(t.Context(), "x", LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "raw bytes" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	for in, want := range map[string]string{
		"10m":                          "1699999400.000000005",
		"1600000000":                   "1600000000.000000000",
		"2020-01-02T03:04:05.25Z":      "1577934245.250000000",
		"2020-01-02T03:04:05.25+01:00": "1577930645.250000000",
		"yesterday":                    "",
		"\x1b[2J":                      "",
	} {
		got, err := parseSince(in, now)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: control characters in %q", in, err)
		}
	}
}
