package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"ship/transfer/place"
	"ship/transfer/wire"
)

// Remote is how a host is reached.
type Remote interface {
	place.Shell
	// Start runs a program on the host; its standard input and output are the connection, and the program's end is an
	// error of Read. docker: with the rights that Docker needs there, through sudo where the SSH user has not got them.
	Start(ctx context.Context, docker bool, argv ...string) (net.Conn, error)
	// Lost tells whether the link to the host is down. Whoever uses it again tries to make it again.
	Lost() bool
	// Login says how the host was logged in to: as whom, where, its host key as on the wire.
	Login() Login
}

// Login is how a host was logged in to.
type Login struct {
	User    string
	Addr    netip.AddrPort // as seen from here, or from the last jump host; zero = not known
	HostKey []byte
	Port    uint16        // of sshd; 0 = 22
	RTT     time.Duration // the shortest seen; 0 = not known
}

// Member is one host whose helper runs. Fields below mu of the swarm are guarded by it.
type Member struct {
	Name  string
	Group string // members of different groups never talk to each other

	swarm   *Swarm
	remote  Remote
	login   Login
	helper  place.Found
	conn    net.Conn
	control *wire.Conn
	welcome wire.Welcome
	signer  ed25519.PrivateKey // of this member, to log in to others with
	says    sayings
	queue   chan key
	rtt     time.Duration
	first   func()        // not nil while others wait to be given the helper by this one
	over    chan struct{} // closed when the control connection is

	mu      sync.Mutex
	loads   map[uint32]chan wire.Loaded
	ups     map[key]*up
	signs   map[uint32]*signing
	lastID  uint32
	gifts   map[string]chan wire.Linked
	granted map[*Member]bool // who may log in: lines in the host's authorized_keys that are ours to remove

	// Guarded by the swarm's mutex.
	ready    bool // it can be sent chunks
	left     bool // it needs nothing any more
	giving   int  // hosts that it is giving the helper to
	heard    time.Time
	silent   int       // seconds since it was heard, or took bytes of a chunk
	gives    time.Time // since when others get from it what it makes; zero = there is nothing to get
	outpaced bool      // what it makes would come much sooner from here
	produced time.Time // when it last told of a chunk of a blob that it makes, or was asked for one
	links    map[*Member]*link
	wants    map[uint32]*Want
	under    map[key]time.Time // chunks on their way, since when
	pace     pace
	err      error // why it is no member any more
}

// Join places the helper on a host, starts it and connects it to other members. It returns once the helper runs. To bring
// the helper there it sends worth bytes at most.
func (s *Swarm) Join(ctx context.Context, name, group string, r Remote, worth int64) (*Member, error) {
	m := &Member{Name: name, Group: group, swarm: s, remote: r, login: r.Login(), queue: make(chan key, mostWindow*2),
		over: make(chan struct{}), loads: map[uint32]chan wire.Loaded{}, ups: map[key]*up{}, signs: map[uint32]*signing{}, gifts: map[string]chan wire.Linked{}, granted: map[*Member]bool{},
		links: map[*Member]*link{}, wants: map[uint32]*Want{}, under: map[key]time.Time{}, heard: time.Now()}
	m.says.come = make(chan struct{}, 1)
	defer func() {
		if m.first != nil {
			m.first()
		}
	}()
	if err := m.start(ctx, worth); err != nil {
		return nil, err
	}
	s.tasks.Go(func() { m.end2(m.listen()) })
	s.tasks.Go(func() { m.says.run(s.ctx, m.over, m.control, m.fail) })
	s.tasks.Go(m.ping)
	if err := m.openData(ctx); err != nil {
		m.fail(err)
		m.unlink(ctx)
		return nil, err
	}
	s.mu.Lock()
	s.members = append(s.members, m)
	m.ready = true
	s.linkUp(m)
	s.mu.Unlock()
	s.poke()
	return m, nil
}

// ErrGone is wrapped by the errors of a member whose helper has ended.
var ErrGone = errors.New("the helper ended")

// Err is why the member is none any more; nil while it is.
func (m *Member) Err() error {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	return m.err
}

// Free is how many bytes of chunks the host has room for; -1 = not known.
func (m *Member) Free() int64 { return m.welcome.Free }

const (
	pingEvery     = time.Second
	errMemberLeft = memberError("it has left")
)

type memberError string

func (e memberError) Error() string { return string(e) }

func (m *Member) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if m.tooSilent() {
				m.fail(fmt.Errorf("%w for %d s", errSilent, silentMost))
				return
			}
			m.say(func(c *wire.Conn) error { return c.Send(wire.KindPing) })
		case <-m.over:
			return
		}
	}
}

// fail ends the membership.
func (m *Member) fail(err error) {
	_ = m.conn.Close() // what can be said has been
	m.end2(err)
}

// end2 notes why the member is none any more.
func (m *Member) end2(err error) {
	if err == nil || err == io.EOF {
		err = errMemberLeft
	}
	s := m.swarm
	s.mu.Lock()
	if m.err == nil {
		m.err = fmt.Errorf("%w: %w", ErrGone, err)
		close(m.over)
	}
	m.ready = false
	clear(m.under)
	for _, w := range m.wants {
		w.end(m.err)
	}
	for _, b := range s.blobs {
		if b.maker == m && b.size < 0 {
			s.failLocked(b, m.err)
		}
	}
	s.mu.Unlock()
	m.mu.Lock()
	for id, c := range m.loads {
		close(c)
		delete(m.loads, id)
	}
	clear(m.ups) // whoever waits for one sees over
	for id, g := range m.signs {
		g.end(m.err)
		delete(m.signs, id)
	}
	m.mu.Unlock()
	s.poke()
}

// Leave says that the member needs nothing any more: at the end its host keeps no chunk. Until then it serves others.
func (m *Member) Leave() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.left = true
}

// end closes the member down: with Close of the swarm, once nobody needs its chunks any more.
func (m *Member) end(ctx context.Context) {
	m.unlink(ctx)
	s := m.swarm
	s.mu.Lock()
	left := m.left
	var ids []uint32
	var again []wire.Open
	for id := range m.wants {
		ids = append(ids, id)
	}
	for _, o := range s.members { // what a helper that was lost has left, and this one did not need any more
		for id, w := range o.wants {
			if o.Name == m.Name && m.wants[id] == nil {
				ids, again = append(ids, id), append(again, wire.Open{Blob: id, Name: w.b.name})
			}
		}
	}
	if !left {
		ids, again = nil, nil // what it wanted and has not got yet stays for the next run
	}
	for _, b := range s.blobs {
		if b.maker == m {
			ids = append(ids, b.id) // it made them of what it has: they can be made again
		}
	}
	s.mu.Unlock()
	if len(ids) > 0 {
		for _, x := range again {
			m.say(func(c *wire.Conn) error { return c.SendJSON(wire.KindOpen, x) })
		}
		for _, id := range ids {
			m.say(func(c *wire.Conn) error { return c.SendID(wire.KindDrop, id) })
		}
	}
	m.say(func(*wire.Conn) error { return halfClose(m.conn) })
	select { // the helper ends, and with it the connection
	case <-m.over:
	case <-time.After(endPatience):
	case <-ctx.Done():
	}
	m.fail(nil)
}

// endPatience is how long a helper may take to end.
const endPatience = 3 * time.Second

func halfClose(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}
