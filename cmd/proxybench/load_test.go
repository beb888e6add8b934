//go:build linux

package main

import "testing"

func TestReadsOutputs(t *testing.T) {
	const wrk = `Running 2s test @ http://127.0.0.1:1/1024
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.93ms    3.05ms  34.86ms   89.40%
    Req/Sec    22.31k     1.22k   24.05k    70.00%
  Latency Distribution
     50%    2.01ms
     99%   14.20ms
  44382 requests in 2.00s, 50.41MB read
Requests/sec:  22164.71
Transfer/sec:     25.18MB
`
	if n, rate := number(wrkRequests, wrk), number(wrkRate, wrk); n != 44382 || rate != 22164.71 {
		t.Errorf("%v requests, %v a second", n, rate)
	}
	if m := wrkP99.FindStringSubmatch(wrk); m == nil || m[1] != "14.20ms" {
		t.Errorf("%v", m)
	}
	if wrong := wrkWrong.FindString(wrk); wrong != "" {
		t.Errorf("%q", wrong)
	}
	if wrong := wrkWrong.FindString(wrk + "  Non-2xx or 3xx responses: 12\n"); wrong == "" {
		t.Error("answers that are wrong pass")
	}
	const h2load = `finished in 2.01s, 11898.00 req/s, 12.01MB/s
requests: 23796 total, 23956 started, 23796 done, 23796 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 23796 2xx, 0 3xx, 0 4xx, 0 5xx
`
	if n, rate, ok := number(h2loadCount, h2load), number(h2loadRate, h2load), number(h2loadStatus, h2load); n != 23796 || rate != 11898 || ok != n {
		t.Errorf("%v requests, %v a second, %v well", n, rate, ok)
	}
}
