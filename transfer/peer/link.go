package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

const (
	// pingAfter is how long a node says nothing before it says that it is there.
	pingAfter = 3 * time.Second
	// deaf is the silence after which a link that owes chunks is given up; one that owes nothing may say nothing for
	// idle, and one that takes no byte of what it is sent as long.
	deaf = 10 * time.Second
	idle = 30 * time.Second
	// tendEvery is how often a link is looked after while chunks are on their way.
	tendEvery = 50 * time.Millisecond
)

// link is one end of a connection; its fields are guarded by the node's mu.
type link struct {
	node *Node
	name string
	conn *meter
	wire *wire.Conn

	greeted bool
	theirs  map[uint32]set // what the peer has, also of blobs and chunks not known here yet
	room    int            // words that theirs may still grow by
	asked   map[key]*request
	late    int           // of asked
	pace    time.Duration // how long chunks take, smoothed
	out     outbox

	toWriter, toTender chan struct{}
}

// maxTheirs bounds what is kept of a peer's news, in words of 64 chunks; newBlob is what a blob costs beside its chunks.
const (
	maxTheirs = 128 << 10
	newBlob   = 16
)

// Link exchanges chunks with the peer at the other end of c until the connection breaks, ctx ends, or the node is
// closed; it closes c. The error is never nil, and names the peer. Of a peer that sent wrong bytes it is a
// *chunk.BadError, for that link and all later ones of that name.
func (n *Node) Link(ctx context.Context, name string, c net.Conn) error {
	defer c.Close()
	name = printable(name)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := &link{node: n, name: name, conn: newMeter(c), theirs: make(map[uint32]set), room: maxTheirs, asked: make(map[key]*request),
		toWriter: make(chan struct{}, 1), toTender: make(chan struct{}, 1)}
	l.wire = wire.NewConn(l.conn)
	if err := n.join(l, stop); err != nil {
		return fmt.Errorf("peer %s: %w", name, err)
	}
	defer n.running.Done()
	var both sync.WaitGroup
	both.Go(func() { stop(l.read()) })
	both.Go(func() { stop(l.write(ctx)) })
	l.tend(ctx, stop)
	c.Close() // ends what reads and writes
	both.Wait()
	err := context.Cause(ctx)
	n.leave(l, err)
	return fmt.Errorf("peer %s: %w", name, err)
}

// printable is a name as it can be told: others may have made it up.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, name[:min(len(name), 100)])
	return name
}

func (n *Node) join(l *link, stop context.CancelCauseFunc) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if err := n.shunned[l.name]; err != nil {
		return err
	}
	n.running.Add(1)
	n.links[l] = stop
	l.out = outbox{hello: true, news: make(map[uint32]struct{}), told: make(map[uint32]*set)}
	for id := range n.wants {
		l.out.news[id] = struct{}{}
	}
	l.wakeWriter()
	return nil
}

// leave forgets a link; what it owes is asked of others.
func (n *Node) leave(l *link, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
	var bad *chunk.BadError
	if errors.As(why, &bad) {
		n.shunned[l.name] = why
	}
	for id, theirs := range l.theirs {
		if w := n.wants[id]; w != nil {
			w.countAll(theirs, -1)
		}
	}
	for k := range l.asked {
		if w := n.wants[k.blob]; w != nil {
			w.release(k.index, l)
		}
	}
	for k := range n.giving {
		n.given(l, k)
	}
	n.fillAll()
}

// tend looks after a link until ctx ends: late chunks, silence, pings.
func (l *link) tend(ctx context.Context, stop context.CancelCauseFunc) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.toTender:
		case <-timer.C:
		}
		again, err := l.check(time.Now())
		if err != nil {
			stop(err)
			return
		}
		timer.Reset(again)
	}
}

// check does what is due and tells when to check again.
func (l *link) check(now time.Time) (time.Duration, error) {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	silent := now.Sub(l.conn.lastRead())
	oldest := time.Duration(0)
	for _, r := range l.asked {
		oldest = max(oldest, now.Sub(r.since))
	}
	stuck := time.Duration(0)
	if l.conn.writing.Load() {
		stuck = now.Sub(l.conn.lastWritten())
	}
	switch {
	case min(silent, oldest) >= deaf:
		return 0, fmt.Errorf("it owes %d chunks and was silent for %s", len(l.asked), deaf)
	case silent >= idle:
		return 0, fmt.Errorf("it was silent for %s", idle)
	case stuck >= idle:
		return 0, fmt.Errorf("it has read nothing for %s", idle)
	}
	if now.Sub(l.conn.lastWritten()) >= pingAfter && !l.conn.writing.Load() {
		l.out.ping = true
		l.wakeWriter()
	}
	if len(l.asked) == 0 {
		return pingAfter, nil
	}
	l.node.hedge(l, now)
	return tendEvery, nil
}

func (l *link) wakeWriter() { wake(l.toWriter) }
func (l *link) wakeTender() { wake(l.toTender) }

// wake leaves a sign in a channel with room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
