// Command app is the only file of the test images.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	switch os.Args[1] {
	case "serve":
		serve()
	case "alive":
		fmt.Println("alive and well")
	case "probe":
		probe()
	}
}

// serve writes to both streams, then waits for SIGTERM.
func serve() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("NAME=" + os.Getenv("NAME"))
	for i := range 3 {
		fmt.Println("out", i)
		fmt.Fprintln(os.Stderr, "err", i)
	}
	<-stop
	fmt.Println("bye")
}

// probe tells what its container lets it do, and ends with status 7.
func probe() {
	for _, dir := range []string{"/", "/run/", "/data/"} {
		fmt.Println("write", dir, verdict(os.WriteFile(dir+"file", []byte("x"), 0o644)))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:80")
	fmt.Println("port 80", verdict(err))
	if err == nil {
		ln.Close()
	}
	fmt.Println("chown", verdict(os.Chown("/data/file", 5, 5)))
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "CapBnd") {
			fmt.Println(strings.Join(strings.Fields(line), " "))
		}
	}
	os.Exit(7)
}

func verdict(err error) string {
	switch {
	case err == nil:
		return "yes"
	case errors.Is(err, syscall.EROFS):
		return "read-only"
	case errors.Is(err, os.ErrPermission):
		return "denied"
	}
	return err.Error()
}
