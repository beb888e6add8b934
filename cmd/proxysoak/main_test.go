//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ship/internal/shiptest/leak"
	"ship/internal/shiptest/load"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }

// TestSoak is a short one.
func TestSoak(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ship-proxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "ship/cmd/ship-proxy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := run(t.Context(), []string{"-proxy", program, "-cutovers", "10", "-upgrades", "2", "-kills", "2", "-slow", "1s", "-grace", "3s"}); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{{"x"}, {"-cutovers", "0"}, {"-slow", "9s", "-grace", "8s"}, {"-proxy", "/nowhere", "-cutovers", "1"}} {
		if err := run(t.Context(), bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestEarly: what the soak would report.
func TestEarly(t *testing.T) {
	at := time.Now()
	s := &soak{o: options{grace: 10 * time.Second}}
	for _, c := range []struct {
		name string
		end  load.SocketEnd
		bad  bool
	}{
		{"at the end of its grace", load.SocketEnd{Version: "v1", At: at.Add(10 * time.Second), Code: 1001}, false},
		{"early", load.SocketEnd{Version: "v1", At: at.Add(9 * time.Second), Code: 1001}, true},
		{"with another code", load.SocketEnd{Version: "v1", At: at.Add(10 * time.Second), Code: 1000}, true},
		{"of what serves", load.SocketEnd{Version: "v2", At: at.Add(10 * time.Second), Code: 1001}, true},
	} {
		if errs := s.early([]load.SocketEnd{c.end}, map[string]time.Time{"v1": at}); len(errs) > 0 != c.bad {
			t.Errorf("%s: %v", c.name, errs)
		}
	}
}
