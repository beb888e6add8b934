package transfer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dead is a host that cannot be reached, which takes 10 s to find out.
type dead struct {
	Remote
	calls int
}

var errDead = errors.New("no route to host")

func (d *dead) Script(context.Context, string, []string, io.Reader) ([]byte, error) {
	d.calls++
	time.Sleep(10 * time.Second)
	return nil, errDead
}

func (*dead) Lost() bool   { return true }
func (*dead) Link() uint64 { return 0 }
func (*dead) Login() Login { return Login{} }

// TestMakersDead: a host that is down is called once, however many layers it should send.
func TestMakersDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dead{}
		p := newPush([]Host{{Name: "h2", Remote: d}}, nil, Options{Helpers: map[string]Binary{"amd64": {SHA256: strings.Repeat("a", 64)}}})
		defer p.crew.close(t.Context())
		a := &attempt{push: p, tell: &progress{}}
		choices := make(map[int]choice)
		for i := range 20 {
			choices[i] = choice{how: HowWhole, from: "h2"}
		}
		begin := time.Now()
		for range 3 { // hosts that lack them
			if got := a.makers(t.Context(), HostPlan{}, choices); len(got) != 0 {
				t.Errorf("makers: %v", got)
			}
		}
		if took := time.Since(begin); d.calls != 1 || took != 10*time.Second {
			t.Errorf("%d calls in %s", d.calls, took)
		}
		time.Sleep(silenceKept)
		a.makers(t.Context(), HostPlan{}, choices)
		if d.calls != 2 {
			t.Errorf("%d calls once it may be back", d.calls)
		}
		if _, err := p.crew.member(t.Context(), "h2", 0); !errors.Is(err, errDead) || d.calls != 3 {
			t.Errorf("its own push is not tried: %v", err)
		}
	})
}
