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
}

// joining is one host's way into the swarm; done is closed when member or err is set.
type joining struct {
	done   chan struct{}
	member *swarm.Member
	err    error
}

func newCrew(hosts []Host, o Options) *crew {
	c := &crew{hosts: make(map[string]Host, len(hosts)), opt: o, joining: make(map[string]*joining)}
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

func (c *crew) claim(ctx context.Context, name string) (*joining, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.swarm == nil {
		c.swarm = swarm.New(context.WithoutCancel(ctx), string(newRun()), swarm.Options{Helpers: c.opt.Helpers, Emit: c.opt.Emit, Star: c.opt.Star})
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
	for _, i := range plan.Missing {
		how := choose(plan, i, bases, route, a.Options)
		switch how.how {
		case HowMoved:
			r.wants[i] = a.ownLayer(plan, i, how.base)
		case HowPatch:
			r.wants[i] = a.patchLayer(m, plan, i, how.base)
		default:
			var maker *swarm.Member
			if how.from != "" {
				var err error
				if maker, err = a.crew.member(ctx, how.from, plan.Send); err != nil {
					maker = nil
					a.tell.say(event.Message, fmt.Sprintf("%s cannot send what it holds, it is sent from here: %v", how.from, err))
				}
			}
			r.wants[i] = a.wholeLayer(m, plan, i, maker)
		}
	}
	return r
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
