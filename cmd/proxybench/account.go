//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks a second, of /proc/PID/stat: 100 on every Linux that Go runs on.
const ticks = 100

// account is what a process and its children have used.
type account struct {
	cpu    float64 // seconds
	memory int64   // bytes: their share of what they have in memory
}

// accountOf reads the account of a process with all that it has started.
func accountOf(pid int) (account, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return account{}, err
	}
	type process struct {
		pid, parent int
		cpu         float64
	}
	var all []process
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		id, rest, _ := strings.Cut(string(b), " ")
		f := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:]) // from the state on
		if len(f) < 13 {
			return account{}, fmt.Errorf("%s: %q", path, b)
		}
		var n [4]int
		for i, s := range []string{id, f[1], f[11], f[12]} {
			if n[i], err = strconv.Atoi(s); err != nil {
				return account{}, fmt.Errorf("%s: %w", path, err)
			}
		}
		all = append(all, process{n[0], n[1], float64(n[2]+n[3]) / ticks})
	}
	tree := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if tree[p.parent] && !tree[p.pid] {
				tree[p.pid], grown = true, true
			}
		}
	}
	var a account
	for _, p := range all {
		if tree[p.pid] {
			a.cpu += p.cpu
			a.memory += share(p.pid)
		}
	}
	return a, nil
}

// share is a process's proportional set size in bytes; 0 if it has ended.
func share(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
