//go:build linux

package lab

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
)

// owner names a process for good: a pid alone is given to another process later. The zero owner is nobody.
type owner struct {
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"` // clock ticks after boot
	Boot  string `json:"boot,omitempty"`  // the machine's boot id
}

var errNoProcess = errors.New("no such process")

// process returns the owner that pid is now.
func process(pid int) (owner, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return owner{}, errNoProcess
	}
	// The name, in brackets, may hold spaces and brackets itself: the fields begin after the last one.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return owner{}, errNoProcess
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return owner{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return owner{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, err
}

// alive says whether the process still runs; a zombie does not.
func (o owner) alive() bool {
	now, err := process(o.PID)
	return o.PID != 0 && err == nil && now == o
}
