package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestGreeting(t *testing.T) {
	half := greeting[:len(greeting)/2]
	for _, noise := range []string{"", "Welcome to Debian!\n", "no line end", half, half + "\n", greeting[:len(greeting)-1], "\x00\x00\n\n", strings.Repeat("x", maxNoise-len(greeting))} {
		var line bytes.Buffer
		line.WriteString(noise)
		if err := Greet(&line); err != nil {
			t.Fatal(err)
		}
		line.WriteString("rest")
		got, err := Greeted(iotest.OneByteReader(&line))
		if err != nil || string(got) != noise {
			t.Errorf("noise %.40q: %.40q, %v", noise, got, err)
		}
		if line.String() != "rest" {
			t.Errorf("noise %.40q: %q is left", noise, line.String())
		}
	}
}

func TestNoGreeting(t *testing.T) {
	said := "bash: ship: command not found\n"
	noise, err := Greeted(strings.NewReader(said))
	if !errors.Is(err, ErrGreeting) || !errors.Is(err, io.ErrUnexpectedEOF) || string(noise) != said {
		t.Errorf("%q, %v", noise, err)
	}
	endless := &count{r: strings.NewReader(strings.Repeat("y\n", 1<<20))}
	noise, err = Greeted(endless)
	if !errors.Is(err, ErrGreeting) || len(noise) != maxNoise || endless.n != maxNoise {
		t.Errorf("%d bytes of noise, %d read, %v", len(noise), endless.n, err)
	}
	cut := errors.New("cut")
	if _, err = Greeted(iotest.ErrReader(cut)); !errors.Is(err, ErrGreeting) || !errors.Is(err, cut) {
		t.Errorf("%v", err)
	}
}

// count counts what is read.
type count struct {
	r io.Reader
	n int
}

func (c *count) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func FuzzGreeted(f *testing.F) {
	f.Add([]byte("noise" + greeting + "rest"))
	f.Add([]byte(greeting[:5] + greeting))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		noise, err := Greeted(r)
		used := len(in) - r.Len()
		if err != nil {
			if !errors.Is(err, ErrGreeting) || !bytes.Equal(noise, in[:used]) || used > maxNoise {
				t.Errorf("%d of %d bytes, %v", used, len(in), err)
			}
			return
		}
		if want := string(noise) + greeting; want != string(in[:used]) || strings.Contains(want[:used-1], greeting) {
			t.Errorf("noise %q of %q", noise, in)
		}
	})
}
