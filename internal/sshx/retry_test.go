package sshx

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sshd that has room for two logins at a time serves eight, in turn.
func TestManyDialsAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, "MaxStartups 2:100:2")
	o := s.options(t)
	o.ConnectTimeout = 30 * time.Second
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := Dial(t.Context(), s.addr(), o)
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !strings.Contains(s.log.String(), "MaxStartups") {
		t.Error("sshd dropped no connection: this test shows nothing")
	}
}

// A host that will not talk is asked a few times, with pauses, and what it says is told.
func TestHungUpOn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says        string
		tries       int32
		error, hint string
	}{
		"silent":              {"", otherTries, "before saying a word", "is that sshd?"},
		"penalty":             {"Not allowed at this time\r\n", otherTries, "Not allowed at this time", "PerSourcePenalties"},
		"crowd":               {"Exceeded MaxStartups\r\n", crowdTries, "Exceeded MaxStartups", "raise MaxStartups"},
		"in the key exchange": {"SSH-2.0-OpenSSH_9.2\r\n", otherTries, "while keys are exchanged", "is that sshd?"},
		"rude":                {"\x1b[31mgo away\a", otherTries, "closes the connection: go away", "is that sshd?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			front := listen(t, func(c net.Conn) {
				tries.Add(1)
				_, _ = io.WriteString(c, tt.says) // who hung up shows in the count
				_ = c.(*net.TCPConn).CloseWrite()
				_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c) // so that what was said is not lost to a reset
			})
			start := time.Now()
			_, err := Dial(t.Context(), front, Options{ConfigFile: "none", ConnectTimeout: time.Minute, Getenv: env("HOME", t.TempDir())})
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), tt.error) || !strings.Contains(unreachable.Hint(), tt.hint) {
				t.Errorf("err = %v", err)
			}
			if tries.Load() != tt.tries {
				t.Errorf("%d tries, want %d", tries.Load(), tt.tries)
			}
			if least := (otherPause + 2*otherPause) / 2; tt.tries == otherTries && time.Since(start) < least {
				t.Errorf("all tries within %s", time.Since(start))
			}
		})
	}
}

// A login that is refused is not tried again.
func TestRefusedLoginsAreNotRepeated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := s.options(t)
	stranger := newKey(t, "ed25519")
	o.Identities = []string{stranger.write(t, s.path("stranger"), "")}
	_, err := Dial(t.Context(), s.addr(), o)
	var refused *AuthError
	if !errors.As(err, &refused) {
		t.Errorf("err = %v", err)
	}
	if n := strings.Count(s.log.String(), "Failed publickey"); n > 1 {
		t.Errorf("%d failed logins", n)
	}
}

func TestPausesGrow(t *testing.T) {
	for _, said := range []string{"", "Exceeded MaxStartups"} {
		e := &hungUpError{said: said}
		var total time.Duration
		for try := 1; ; try++ {
			pause, ok := e.again(try)
			if !ok {
				break
			}
			base := min(map[bool]time.Duration{true: crowdPause, false: otherPause}[e.crowded()]<<(try-1), longestPause)
			if pause < base/2 || pause > base*3/2 {
				t.Errorf("%q: pause %d is %s, want about %s", said, try, pause, base)
			}
			total += pause
		}
		if total > 25*time.Second {
			t.Errorf("%q: %s of pauses", said, total)
		}
	}
}
