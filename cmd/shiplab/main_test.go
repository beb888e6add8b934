//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"ship/internal/shiptest/lab"
)

// asShiplab makes the test binary the command itself.
const asShiplab = "SHIPLAB_TEST_MAIN"

func TestMain(m *testing.M) {
	lab.Init()
	if os.Getenv(asShiplab) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// shiplab runs the command in a process of its own, clean-up included, and returns what it printed and its exit code.
func shiplab(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asShiplab+"=1", "GORACE=atexit_sleep_ms=0", fmt.Sprintf("SHIPLAB_ID=cli%d", os.Getpid()))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// TestCommands keeps a lab over many processes, as a person at a terminal does.
func TestCommands(t *testing.T) {
	t.Cleanup(func() {
		if out, code := shiplab(t, "down"); code == 0 {
			t.Errorf("down works twice: %s", out)
		}
	})
	steps := []struct {
		args string
		code int
		want string // part of the output
	}{
		{"list", 1, "no such file"},
		{"up 2 --engine bookworm --engine trixie+rust", 1, "want +c8d"},
		{"up 2 --engine bookworm --engine trixie+c8d", 0, "2 hosts up"},
		{"up 1", 1, "exists already"},
		{"sweep", 0, ""}, // spares what is kept
		{"list", 0, "trixie+c8d  up"},
		{"exec h1 echo one; exit 7", 7, "one"},
		{"ssh deploy@h2 docker ps -q && hostname", 0, "h2"},
		{"ssh h2 -- false", 1, ""},
		{"counters reset", 0, ""},
		{"ssh h1 head -c 100000 /dev/zero >/dev/null", 0, ""},
		{"counters", 0, "h1\tctl"},
		{"counters h1 h2", 0, "0"}, // ctl may still be saying good-bye to h2
		{"limit h1 --up 10mbit --down 1gbit", 0, ""},
		{"limit h1 off", 0, ""},
		{"limit ctl --up fast", 1, "want a number with kbit"},
		{"cut h1 h2 ctl", 0, ""},
		{"heal", 0, ""},
		{"cut h9", 1, `no host "h9"`},
		{"freeze h1", 0, ""},
		{"list", 0, "frozen"},
		{"exec h1 true", 1, "frozen"},
		{"thaw h1", 0, ""},
		{"authorize h1", 0, ""},
		{"exec h1 ssh sudoer@h2 id -un", 0, "sudoer"},
		{"kill h2", 0, ""},
		{"list", 0, "trixie+c8d  off"},
		{"boot h2", 0, ""},
		{"restart-docker h2", 0, ""},
		{"stop h1", 0, ""},
		{"ssh", 80, "Usage"},
		{"down", 0, ""},
	}
	for _, s := range steps {
		out, code := shiplab(t, strings.Fields(s.args)...)
		if code != s.code || !strings.Contains(out, s.want) {
			t.Errorf("shiplab %s: exit %d, want %d with %q:\n%s", s.args, code, s.code, s.want, out)
		}
	}
}

// TestCountersSum compares the two ways to read a link.
func TestCountersSum(t *testing.T) {
	shiplab(t, "up", "1", "--disk", "300M")
	t.Cleanup(func() { shiplab(t, "down") })
	shiplab(t, "ssh", "h1", "head -c 1000000 /dev/zero | base64")
	out, code := shiplab(t, "counters", "h1")
	if n, err := strconv.Atoi(out); err != nil || code != 0 || n < 1_300_000 || n > 1_500_000 {
		t.Errorf("counters h1: %q, want about 1350000", out)
	}
}
