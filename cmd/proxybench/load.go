//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// loadCase is one way to ask.
type loadCase struct {
	name   string
	bytes  int // of an answer
	conns  int
	secure bool // HTTP/2 over TLS, 10 requests at once on each connection; else HTTP/1.1
}

var cases = []loadCase{
	{"1 KB, HTTP/1.1, 64 connections", 1 << 10, 64, false},
	{"1 KB, HTTP/1.1, 512 connections", 1 << 10, 512, false},
	{"100 KB, HTTP/1.1, 64 connections", 100 << 10, 64, false},
	{"1 KB, HTTP/2 over TLS, 16 connections of 10 streams", 1 << 10, 16, true},
}

// run is the outcome of one run.
type run struct {
	rate float64 // requests a second
	cost float64 // microseconds of CPU a request
	p99  time.Duration
}

var (
	wrkRequests  = regexp.MustCompile(`(\d+) requests in`)
	wrkRate      = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP99       = regexp.MustCompile(`99%\s+([\d.]+(?:us|ms|s))`)
	wrkWrong     = regexp.MustCompile(`(?m)^\s*(Non-2xx.*|Socket errors: .*)$`)
	h2loadCount  = regexp.MustCompile(`requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)
	h2loadRate   = regexp.MustCompile(`finished in [^,]+, ([\d.]+) req/s`)
	h2loadStatus = regexp.MustCompile(`status codes: (\d+) 2xx`)
)

// load asks one proxy for a while. An answer that is not 200 is an error: what refuses is fast.
func (c *contender) load(ctx context.Context, l loadCase, length time.Duration) (run, error) {
	before, err := accountOf(c.running.Process.Pid)
	if err != nil {
		return run{}, err
	}
	args := []string{"-c", others(), "wrk", "-t1", "--latency", "-c", strconv.Itoa(l.conns), "-d", length.String(), "-H", "Host: " + host,
		fmt.Sprintf("http://127.0.0.1:%d/%d", c.port, l.bytes)}
	if l.secure {
		args = []string{"-c", others(), "h2load", "-t1", "-c", strconv.Itoa(l.conns), "-m", "10", "-D", strconv.Itoa(int(length.Seconds())),
			fmt.Sprintf("--connect-to=127.0.0.1:%d", c.tls), fmt.Sprintf("https://%s/%d", host, l.bytes)}
	}
	b, err := exec.CommandContext(ctx, "taskset", args...).CombinedOutput()
	out := string(b)
	if err != nil {
		return run{}, fmt.Errorf("%s: %w: %s", args[2], err, out)
	}
	after, err := accountOf(c.running.Process.Pid)
	if err != nil {
		return run{}, err
	}
	var r run
	requests := 0.0
	if l.secure {
		requests, r.rate = number(h2loadCount, out), number(h2loadRate, out)
		if requests == 0 || number(h2loadStatus, out) < requests {
			return run{}, fmt.Errorf("h2load: %s", out)
		}
	} else {
		requests, r.rate = number(wrkRequests, out), number(wrkRate, out)
		if m := wrkP99.FindStringSubmatch(out); m != nil {
			r.p99, _ = time.ParseDuration(m[1]) // the expression lets only durations through
		}
		if wrong := wrkWrong.FindString(out); wrong != "" || requests == 0 {
			return run{}, fmt.Errorf("wrk: %s", out)
		}
	}
	r.cost = (after.cpu - before.cpu) * 1e6 / requests
	return r, nil
}

func number(re *regexp.Regexp, s string) float64 {
	m := re.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64) // the expression lets only numbers through
	return v
}
