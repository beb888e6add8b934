// Package leak fails a package's tests when goroutines outlive them.
//
//	func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
package leak

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// patience is how long goroutines may take to end after the last test.
const patience = 5 * time.Second

// Main runs the tests and returns the exit code: theirs, or 1 with the stacks on stderr when goroutines are left.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if code != 0 {
		return code
	}
	http.DefaultClient.CloseIdleConnections() // its pool belongs to the process, not to a test
	if left := Wait(patience); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leak: %d goroutines outlived the tests by %v:\n\n%s\n", len(left), patience, strings.Join(left, "\n\n"))
		return 1
	}
	return 0
}

// Wait returns the stacks of the goroutines that are still there after d, itself and the runtime's own left out; at
// once and nil when there are none.
func Wait(d time.Duration) []string {
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		left := others(stacks())
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// stacks is what the runtime prints of all goroutines.
func stacks() string {
	for b := make([]byte, 1<<16); ; b = make([]byte, 2*len(b)) {
		if n := runtime.Stack(b, true); n < len(b) {
			return string(b[:n])
		}
	}
}

// others picks from all stacks those that nobody answers for. The first one is the caller's.
func others(all string) []string {
	goroutines := strings.Split(strings.TrimSpace(all), "\n\n")
	return slices.DeleteFunc(goroutines[1:], harmless)
}

// harmless tells of goroutines that live as long as the process by design.
func harmless(stack string) bool {
	for _, frame := range []string{
		"os/signal.signal_recv", "os/signal.loop", // the one that hands on signals
		"runtime.ensureSigM",          // its helper
		"testing.(*M).startAlarm",     // -timeout
		"testing.runFuzzing",          // waits for its workers
		"runtime/trace.Start",         // -trace
		"runtime/pprof.profileWriter", // -cpuprofile
	} {
		if strings.Contains(stack, frame) {
			return true
		}
	}
	return false
}
