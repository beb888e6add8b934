// Package machine names the machine that a benchmark runs on: a figure without it says nothing.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// String names the processor, how many CPUs there are of it, and the kernel: "AMD EPYC, 2 CPUs, Linux 6.18.5".
// What cannot be read is "unknown": a benchmark does not fail for it.
func String() string {
	model, kernel := "unknown processor", "unknown"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		model = modelIn(string(b), model)
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(b))
	}
	return fmt.Sprintf("%s, %d CPUs, Linux %s", model, runtime.NumCPU(), kernel)
}

// modelIn finds the first processor's name in the text of /proc/cpuinfo. Not every architecture has one there.
func modelIn(cpuinfo, otherwise string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}
