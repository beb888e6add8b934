package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ship/internal/event"
	"ship/transfer/swarm"
)

// crew is the members of a push's swarm, each joined when it is needed first.
type crew struct {
	hosts map[string]Host
	opt   Options

	mu      sync.Mutex
	swarm   *swarm.Swarm // nil until somebody joins
	joining map[string]*joining
	silent  map[string]silence // hosts that could not be makers
}

// silence is why a host could not be a maker, and since when.
type silence struct {
	err   error
	since time.Time
}

// silenceKept is for how long a host that could not be a maker is not asked again to be one: it takes a dial's time to
// find out, and there may be a dozen layers that it holds.
const silenceKept = 30 * time.Second

// joining is one host's way into the swarm; done is closed when member or err is set.
type joining struct {
	done   chan struct{}
	member *swarm.Member
	err    error
}

func newCrew(hosts []Host, o Options) *crew {
	c := &crew{hosts: make(map[string]Host, len(hosts)), opt: o, joining: make(map[string]*joining), silent: make(map[string]silence)}
	for _, h := range slices.Concat(hosts, o.Sources) {
		c.hosts[h.Name] = h
	}
	return c
}

// can tells whether a helper can be tried on a host.
func (c *crew) can(h Host) bool { return h.Remote != nil && len(c.opt.Helpers) > 0 }

// member returns the host's member, which joins if it is none yet. It costs worth bytes at most to bring the helper
// there.
func (c *crew) member(ctx context.Context, name string, worth int64) (*swarm.Member, error) {
	for {
		j, mine := c.claim(ctx, name)
		if mine {
			h := c.hosts[name]
			link := markLink(h.Remote)
			j.member, j.err = c.swarm.Join(ctx, name, h.Group, h.Remote, worth)
			if j.err != nil && link.lost() {
				c.forget(name, j) // the next one may have more luck
			}
			close(j.done)
			return j.member, j.err
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if j.err == nil && j.member.Err() == nil {
			return j.member, nil
		}
		if j.err != nil && !errors.Is(j.err, context.Canceled) {
			return nil, j.err
		}
		c.forget(name, j)
	}
}

// maker is member for a host that holds layers which others lack. A failure is that of all who ask in the next time.
func (c *crew) maker(ctx context.Context, name string, worth int64) (*swarm.Member, error) {
	c.mu.Lock()
	known, ok := c.silent[name]
	c.mu.Unlock()
	if ok && time.Since(known.since) < silenceKept {
		return nil, known.err
	}
	m, err := c.member(ctx, name, worth)
	if err != nil && ctx.Err() == nil {
		c.mu.Lock()
		c.silent[name] = silence{err, time.Now()}
		c.mu.Unlock()
	}
	return m, err
}

func (c *crew) claim(ctx context.Context, name string) (*joining, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.swarm == nil {
		c.swarm = swarm.New(context.WithoutCancel(ctx), string(newRun()), swarm.Options{Helpers: c.opt.Helpers, Emit: c.opt.Emit, Star: c.opt.Star, Uplink: c.opt.Uplink})
	}
	if j := c.joining[name]; j != nil {
		return j, false
	}
	j := &joining{done: make(chan struct{})}
	c.joining[name] = j
	return j, true
}

// forget makes room for another try.
func (c *crew) forget(name string, j *joining) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joining[name] == j {
		delete(c.joining, name)
	}
}

// leave says that a host has all that it needs: nothing is kept there for another run.
func (c *crew) leave(name string) {
	c.mu.Lock()
	j := c.joining[name]
	c.mu.Unlock()
	if j == nil {
		return
	}
	<-j.done
	if j.member != nil {
		j.member.Leave()
	}
}

// closePatience is how long the helpers of all hosts may take to end.
const closePatience = 10 * time.Second

// close ends all helpers.
func (c *crew) close(ctx context.Context) {
	if c.swarm == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), closePatience, // also when ctx has ended: keys are to be taken back
		fmt.Errorf("helpers did not end within %s", closePatience))
	defer cancel()
	c.swarm.Close(ctx)
}

// relay asks for all layers that the host lacks, bottom first, and returns how they come.
func (a *attempt) relay(ctx context.Context, m *swarm.Member, plan HostPlan, route Route) courier {
	bases := a.bases(ctx, plan)
	r := &relay{member: m, plan: plan, progress: a.tell, wants: make(map[int]*errand, len(plan.Missing))}
	r.again = func(i int) *errand { return a.wholeLayer(m, plan, i, nil) }
	choices := make(map[int]choice, len(plan.Missing))
	for _, i := range plan.Missing {
		choices[i] = choose(plan, i, bases, route, a.Options)
	}
	makers := a.makers(ctx, plan, choices)
	for _, i := range plan.Missing {
		c := choices[i]
		switch c.how {
		case HowMoved:
			r.wants[i] = a.ownLayer(plan, i, c.base)
		case HowPatch:
			r.wants[i] = a.patchLayer(m, plan, i, c.base)
		default:
			r.wants[i] = a.wholeLayer(m, plan, i, makers[c.from])
		}
	}
	return r
}

// makers are the members that make layers for this host, by name. Those that cannot are left out.
func (a *attempt) makers(ctx context.Context, plan HostPlan, choices map[int]choice) map[string]*swarm.Member {
	names := make(map[string]bool)
	for _, c := range choices {
		if c.from != "" {
			names[c.from] = true
		}
	}
	var mu sync.Mutex
	makers := make(map[string]*swarm.Member, len(names))
	var wg sync.WaitGroup
	for from := range names {
		wg.Go(func() {
			m, err := a.crew.maker(ctx, from, plan.Send)
			if err != nil {
				a.tell.say(event.Message, fmt.Sprintf("%s cannot send what it holds, it is sent from here: %v", from, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			makers[from] = m
		})
	}
	wg.Wait()
	return makers
}

// bases are what the missing layers may be patched from.
func (a *attempt) bases(ctx context.Context, plan HostPlan) map[int]base {
	if a.Delta == DeltaOff || a.whole {
		return nil
	}
	ctx, cancel := patience(ctx, a.Silence)
	defer cancel()
	found, err := findBases(ctx, a.host.Engine, plan, a.Tag)
	if err != nil {
		return nil // then layers are sent whole; what ails the host will show
	}
	return found
}
