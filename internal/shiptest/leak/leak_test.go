package leak

import (
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

type run int

func (r run) Run() int { return int(r) }

func forget(stop chan struct{}) { <-stop }

func TestWait(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt) // starts a goroutine that never ends
	defer signal.Stop(c)
	before := len(Wait(0))
	stop := make(chan struct{})
	go forget(stop)
	left := Wait(50 * time.Millisecond)
	if len(left) != before+1 || !strings.Contains(strings.Join(left, "\n"), "leak.forget") {
		t.Errorf("a goroutine in the way is not seen: %q", left)
	}
	close(stop)
	for end := time.Now().Add(time.Second); len(Wait(0)) > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a goroutine that ended is still seen")
		}
	}
}

func TestMainKeepsTheCode(t *testing.T) {
	if got := Main(run(3)); got != 3 {
		t.Errorf("tests ended with 3, Main with %d", got)
	}
}
