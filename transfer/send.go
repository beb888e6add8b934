package transfer

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ship/layers"
)

const (
	// loadsAtOnce: one unpacks while the next one streams.
	loadsAtOnce = 2
)

// sender does one host's loads.
type sender struct {
	host     Host
	plan     HostPlan
	run      run
	courier  courier
	pulse    *pulse
	progress *progress

	names []layers.ArchiveLayer // how archives for this host name each layer; set in order of sending
	ready map[int]chan parcel   // by layer, room for one
	begun []chan struct{}       // by load: closed when the engine listens
	sent  []chan struct{}       // by load: closed when its layers are written
	done  []chan struct{}       // by load: closed when the engine has it
	mu    sync.Mutex
	tags  []string // temporary tags that are on the host, or may be
	whole int      // layers that the host has taken
}

func newSender(host Host, plan HostPlan, run run, c courier, silence time.Duration, p *progress) *sender {
	s := &sender{host: host, plan: plan, run: run, courier: c, progress: p}
	s.pulse = &pulse{silence: silence, ask: func(ctx context.Context) error {
		_, err := host.Engine.Info(ctx)
		return err
	}}
	s.names = make([]layers.ArchiveLayer, len(plan.Image.Layers))
	s.ready = make(map[int]chan parcel, len(plan.Missing))
	for i, l := range plan.Image.Layers {
		if slices.Contains(plan.Missing, i) {
			s.ready[i] = make(chan parcel, 1)
			p.expect(sendSize(l.Blob))
			continue
		}
		s.names[i] = plan.Holding.Held.Name(plan.Image, i)
		p.layer(l.DiffID, "ask", "held", max(s.names[i].Blob.Size, 0))
	}
	for range plan.Loads {
		s.begun, s.sent, s.done = append(s.begun, make(chan struct{})), append(s.sent, make(chan struct{})), append(s.done, make(chan struct{}))
	}
	if plan.Holding.probed != "" {
		s.tags = append(s.tags, plan.Holding.probed)
	}
	return s
}

// send does all loads and returns the temporary tag of the image.
func (s *sender) send(ctx context.Context) (string, error) {
	if len(s.plan.Loads) == 0 {
		return s.plan.Holding.probed, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	watching, stop := context.WithCancel(ctx)
	g.Go(func() error { return s.pulse.watch(watching) })
	g.Go(func() error { return s.fetch(ctx) })
	g.Go(func() error {
		defer stop()
		return s.loads(ctx)
	})
	err := g.Wait()
	return s.tag(s.plan.Loads[len(s.plan.Loads)-1]), err
}

// fetch gets the missing layers ready, ahead of their turn.
func (s *sender) fetch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.courier.ahead())
	for _, i := range s.plan.Missing {
		g.Go(func() error {
			l, err := s.courier.layer(ctx, i)
			if err != nil {
				return err
			}
			s.ready[i] <- l
			return nil
		})
	}
	return g.Wait()
}

func (s *sender) loads(ctx context.Context) error {
	g, loading := errgroup.WithContext(ctx)
	for k := range s.plan.Loads {
		if k >= loadsAtOnce && !wait(loading, s.done[k-loadsAtOnce]) {
			break // the reason is in the group, or above it
		}
		g.Go(func() error { return s.load(loading, k) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil && !isClosed(s.done[len(s.done)-1]) {
		return &stepError{"send", context.Cause(ctx)}
	}
	return nil
}

func (s *sender) tag(l Load) string { return s.run.tag(s.plan.Image.ConfigDigest(), l.Top) }

// wait returns true once c is closed, false when ctx ends before.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return isClosed(c)
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
