package sshx

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the package if a goroutine of it, or of x/crypto on its behalf, is left at the end.
func TestMain(m *testing.M) {
	if to := os.Getenv("SSHX_TEST_RELAY"); to != "" {
		os.Exit(relay(to))
	}
	code := m.Run()
	if left := leaked(5 * time.Second); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// relay is this program as a ProxyCommand.
func relay(to string) int {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return 1
	}
	go func() { _, _ = io.Copy(conn, os.Stdin) }()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

// leaked waits for goroutines to go, and returns the stacks of those that stay.
func leaked(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var left []string
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "ship/internal/sshx.") && !strings.Contains(g, "sshx.TestMain") ||
				strings.Contains(g, "golang.org/x/crypto/ssh.") {
				left = append(left, g)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}
