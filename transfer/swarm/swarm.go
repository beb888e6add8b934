package swarm

import (
	"context"
	"slices"
	"sync"
	"time"

	"ship/internal/event"
	"ship/transfer/place"
)

// Options of a swarm.
type Options struct {
	// Helpers are the helper programs by architecture, as Go names it.
	Helpers map[string]place.Binary
	Emit    event.Func
	Quota   int64 // bytes of chunks that a host may keep between runs; 0 = DefaultQuota
	Star    bool  // hosts are not to talk to each other: each is fed from here
	Uplink  int64 // bytes a second that leave here, as measured in an earlier run; 0 = not known
}

// DefaultQuota of chunks kept on a host between runs, in bytes.
const DefaultQuota = 10 << 30

// Swarm is the members of one run and what they want. It is safe for concurrent use.
type Swarm struct {
	Options
	ctx    context.Context //nolint:containedctx // of the swarm's own goroutines, from New to Close
	stop   context.CancelCauseFunc
	feeds  context.Context    //nolint:containedctx // of what sends chunks: from New to the beginning of Close
	enough context.CancelFunc // ends feeds
	run    string
	wake   chan struct{}
	tasks  sync.WaitGroup

	mu      sync.Mutex
	members []*Member
	blobs   []*blob // by number
	byName  map[string]*blob
	first   map[string]chan struct{} // by kind of host: closed when the first of them has the helper, or will not
	delays  []time.Duration          // of chunks lately pushed, from queueing to the member's word
	line    line
	judged  time.Time // when makers were looked at last
}

// New makes an empty swarm, which works until Close. ctx ends all of it.
func New(ctx context.Context, run string, o Options) *Swarm {
	if o.Quota == 0 {
		o.Quota = DefaultQuota
	}
	s := &Swarm{Options: o, run: run, wake: make(chan struct{}, 1), byName: make(map[string]*blob), first: make(map[string]chan struct{})}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	s.feeds, s.enough = context.WithCancel(s.ctx)
	s.tasks.Go(s.work)
	return s
}

// Close ends all helpers and waits for all that the swarm does. Members that have Left take their chunks with them;
// what the others have got stays for the next run.
func (s *Swarm) Close(ctx context.Context) {
	s.enough() // what is still to be said must not wait behind chunks
	s.mu.Lock()
	members := slices.Clone(s.members)
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() { m.end(ctx) })
	}
	wg.Wait()
	s.stop(context.Canceled)
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blobs {
		if b.src != nil {
			_ = b.src.Close() // it was read to the end, or is of no use any more
		}
	}
}

func (s *Swarm) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tickEvery is how often the swarm looks at what is late, when nothing else happens.
const tickEvery = 200 * time.Millisecond

// work pushes chunks until the swarm's end.
func (s *Swarm) work() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		s.schedule(time.Now())
		s.mu.Unlock()
	}
}
