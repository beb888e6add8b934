//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ship/internal/shiptest/load"
)

func (s *soak) load(ctx context.Context, kinds load.Options) (*load.Generator, error) {
	kinds.URLs, kinds.Host, kinds.Workers, kinds.Pause = []string{"http://" + s.http, "https://" + s.https}, host, s.o.workers, 2*time.Millisecond
	kinds.Timeout, kinds.MaxTime, kinds.MaxRequests = s.o.slow+s.o.grace+20*time.Second, time.Hour, 1<<40
	return load.Start(ctx, kinds)
}

// replace has releases and proxies take over from each other under load. No request may fail, and no WebSocket end before its
// grace has.
func (s *soak) replace(ctx context.Context) error {
	g, err := s.load(ctx, load.Options{PostPath: "/post", SlowPath: "/slow?d=" + s.o.slow.String(), SocketPath: "/ws"})
	if err != nil {
		return err
	}
	replaced := map[string]time.Time{}
	var switches, undos []time.Duration
	for n := 1; n <= s.o.cutovers && err == nil; n++ {
		fmt.Fprintf(os.Stderr, "\rcutover %d of %d, %d requests", n, s.o.cutovers, g.Total())
		old := s.live
		var took, undone time.Duration
		if took, undone, err = s.cutover(ctx, fmt.Sprint("v", n), n%10 == 0); err != nil {
			break
		}
		replaced[old.version] = old.replaced
		switches = append(switches, took)
		if undone > 0 {
			undos = append(undos, undone)
		}
		if s.o.upgrades > 0 && n%max(1, s.o.cutovers/s.o.upgrades) == 0 {
			err = s.startProxy(ctx)
		}
		time.Sleep(200 * time.Millisecond) // so that the load meets it
	}
	s.leaving.Wait()
	r := g.Stop()
	fmt.Fprintln(os.Stderr)
	fmt.Printf("%d cutovers, %d undos, %d upgrades of the proxy under load:\n%v\n", len(switches), len(undos), len(s.proxies)-1, r)
	for _, k := range []load.Kind{load.KeepAlive, load.Fresh, load.Post, load.Slow, load.Socket, load.HTTP2} {
		fmt.Printf("  %-10s %7d\n", k, r.Kinds[k])
	}
	fmt.Printf("from readiness to the end of the switch: %s\nundo: %s\n", spread(switches), spread(undos))
	early := s.early(r.Sockets, replaced)
	fmt.Printf("WebSockets closed properly at the end of their grace: %d, before: %d; requests sent again by HTTP/2's rules: %d\n", len(r.Sockets)-len(early), len(early), r.Again)
	if r.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests failed", r.Failed))
	}
	return errors.Join(append(append(s.errs, early...), err)...)
}

// cutover brings a release, and takes it back and brings it again if wanted. It returns how long the switch and the undo took.
func (s *soak) cutover(ctx context.Context, version string, back bool) (took, undone time.Duration, err error) {
	next, err := s.startRelease(ctx, version)
	if err != nil {
		return 0, 0, err
	}
	if took, err = s.commit(ctx, next); err != nil {
		return 0, 0, err
	}
	if back {
		begin := time.Now()
		if err := s.client.Undo(ctx, service, s.generation); err != nil {
			return 0, 0, err
		}
		undone = time.Since(begin)
		if _, err := s.commit(ctx, next); err != nil {
			return 0, 0, err
		}
	}
	old := s.live
	s.live = next
	s.retire(ctx, old)
	return took, undone, nil
}

// early are the WebSockets that were ended before the grace of their release was over, or not as going away.
func (s *soak) early(all []load.SocketEnd, replaced map[string]time.Time) (errs []error) {
	for _, e := range all {
		at, ok := replaced[e.Version]
		if !ok || e.Code != 1001 || e.At.Before(at.Add(s.o.grace-100*time.Millisecond)) {
			errs = append(errs, fmt.Errorf("a WebSocket of %s was closed with %d, %s after its release was replaced", e.Version, e.Code, e.At.Sub(at)))
		}
	}
	return errs
}

// lose kills one of two replicas again and again, and starts it again, as an engine would. What is in flight with it goes to
// the other one, unless it must not be sent twice: no GET may fail.
func (s *soak) lose(ctx context.Context) error {
	all := []*release{}
	for n := range 2 {
		r, err := s.startRelease(ctx, fmt.Sprintf("replica-%d", n+1))
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if _, err := s.commit(ctx, all[0], all[1].target); err != nil {
		return err
	}
	s.retire(ctx, s.live)
	s.live = all[0]
	g, err := s.load(ctx, load.Options{SlowPath: "/slow?d=300ms"})
	if err != nil {
		return err
	}
	n := 0
	for ; n < s.o.kills && err == nil; n++ {
		fmt.Fprintf(os.Stderr, "\rreplica %d of %d", n+1, s.o.kills)
		r := all[n%2]
		err = r.cmd.Process.Kill()
		_ = s.ended(r.cmd) // by that
		time.Sleep(300 * time.Millisecond)
		if err == nil {
			all[n%2], err = s.startApp(ctx, r.version, r.target.Address)
		}
		if err == nil {
			err = until(ctx, 10*time.Second, "both replicas are healthy", s.bothHealthy(ctx))
		}
	}
	r := g.Stop()
	fmt.Fprintln(os.Stderr)
	fmt.Printf("%d kills of one of two replicas: %v\n", n, r)
	if r.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests failed", r.Failed))
	}
	return err
}

func (s *soak) bothHealthy(ctx context.Context) func() error {
	return func() error {
		st, err := s.client.Status(ctx)
		if err != nil {
			return err
		}
		healthy := 0
		for _, v := range st.Services {
			for _, t := range v.Targets() {
				if t.Health == "healthy" {
					healthy++
				}
			}
		}
		if healthy != 2 {
			return fmt.Errorf("%d are", healthy)
		}
		return nil
	}
}

// kill kills the proxy's working process again and again. What is in flight then breaks; nobody may be refused.
func (s *soak) kill(ctx context.Context) error {
	s.leaving.Wait()
	g, err := s.load(ctx, load.Options{})
	if err != nil {
		return err
	}
	var gaps []time.Duration
	for n := range s.o.kills {
		fmt.Fprintf(os.Stderr, "\rkill %d of %d", n+1, s.o.kills)
		var gap time.Duration
		if gap, err = s.killOnce(ctx); err != nil {
			break
		}
		gaps = append(gaps, gap)
		time.Sleep(1100 * time.Millisecond) // a worker that dies sooner counts as one that does not come up
	}
	r := g.Stop()
	fmt.Fprintln(os.Stderr)
	total, _, _ := strings.Cut(r.String(), ";") // which ones is no matter here
	fmt.Printf("%d kills of the proxy, %d refused: %s\nfrom the kill to the first answer: %s\n", len(gaps), r.Classes[load.Refused], total, spread(gaps))
	if n := r.Classes[load.Refused]; n > 0 {
		err = errors.Join(err, fmt.Errorf("%d connections were refused", n))
	}
	return err
}

// killOnce returns how long after the kill a new connection has its answer.
func (s *soak) killOnce(ctx context.Context) (time.Duration, error) {
	pid, err := childOf(s.proxies[len(s.proxies)-1].Process.Pid)
	if err != nil {
		return 0, err
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := p.Kill(); err != nil {
		return 0, err
	}
	g, err := load.Start(ctx, load.Options{URLs: []string{"http://" + s.http}, Host: host, MaxRequests: 1, Timeout: 10 * time.Second})
	if err != nil {
		return 0, err
	}
	if r := g.Wait(); r.Failed > 0 {
		// The kernel may have given it to the process that was just dying: that one counts as in flight.
		if r.Classes[load.Refused] > 0 {
			return 0, r.First[0].Err
		}
		g, err := load.Start(ctx, load.Options{URLs: []string{"http://" + s.http}, Host: host, MaxRequests: 1, Timeout: 10 * time.Second})
		if err != nil {
			return 0, err
		}
		if r := g.Wait(); r.Failed > 0 {
			return 0, r.First[0].Err
		}
	}
	return time.Since(begin), nil
}

// childOf is the one child of a process.
func childOf(pid int) (int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // of each thread
	if err != nil {
		return 0, err
	}
	var all []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) { // the thread has ended
			continue
		}
		if err != nil {
			return 0, err
		}
		all = append(all, strings.Fields(string(b))...)
	}
	if len(all) != 1 {
		return 0, fmt.Errorf("process %d has the children %q, one was expected", pid, all)
	}
	return strconv.Atoi(all[0])
}

// spread is the median and the worst.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	all = slices.Sorted(slices.Values(all))
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("median %s, worst %s", round(all[len(all)/2]), round(all[len(all)-1]))
}
