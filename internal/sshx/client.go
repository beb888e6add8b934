package sshx

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options says how to connect. The zero value is what ssh would do, with strict host keys.
type Options struct {
	ConfigFile string   // instead of ~/.ssh/config and /etc/ssh/ssh_config; "none" = no file
	Identities []string // key files, offered before all others
	KnownHosts []string // instead of the files that ssh_config names

	// Defaults for the host itself; the spec and an explicit entry of ssh_config win over them.
	User string
	Port int
	Jump string // as ProxyJump

	// HostKeys are pins: the host as written, perhaps with a port, to "ssh-ed25519 AAAA..."; jump hosts too. A pinned
	// host is checked against its pin only.
	HostKeys map[string]string

	ConnectTimeout time.Duration // for TCP, handshake and authentication of each hop; default 10 s
	KeepAlive      time.Duration // interval of keepalives; default 5 s

	// MaxSessions is how many commands run at a time on the connection, more wait for a place; default 8. A host that
	// allows fewer (MaxSessions of its sshd_config) may get more connections instead. Each command has a window of 2 MiB:
	// it carries that much in a round trip, and on long lines several carry more than one.
	MaxSessions int

	Limit  *Limiter // of what is sent, with all other connections that have it; nil = none
	Getenv func(string) string
}

func (o Options) getenv(name string) string {
	if o.Getenv == nil {
		return ""
	}
	return o.Getenv(name)
}

// maxSessions is how many commands of one connection run at a time by default; sshd's own default is 10 and the rest is
// left to sessions that are on their way out.
const maxSessions = 8

// grace is how long a remote command has to end by itself after its stdin was closed.
const grace = 2 * time.Second

// Client is a connection to a host. It is safe for concurrent use; Close it.
type Client struct {
	host, user string
	ssh        *ssh.Client
	hops       []*hop
	jumped     bool
	rtt        atomic.Int64 // nanoseconds; 0 = not known
	places     *places

	again    func(context.Context) (*Client, error) // makes another connection to the host
	siblings atomic.Int32                           // how many more there may be, each from the last one
	dialling chan struct{}                          // held while next is looked at or made
	next     *Client                                // a sibling, or nil

	done chan struct{} // closed when the connection is over, with err set
	err  error

	mu      sync.Mutex
	cause   error          // why it will be over, if we know before x/crypto does
	closing chan struct{}  // closed by Close
	wg      sync.WaitGroup // everything that lives on the connection
}

// Dial connects to the host that spec names, through its jump hosts. The errors to tell apart are UnreachableError,
// HostKeyError and AuthError; the context's cause if it ended. ctx is for connecting only.
func Dial(ctx context.Context, spec string, o Options) (*Client, error) {
	o.ConfigFile = homely(o.ConfigFile, o)
	o.Identities, o.KnownHosts = slices.Clone(o.Identities), slices.Clone(o.KnownHosts)
	for _, list := range [][]string{o.Identities, o.KnownHosts} {
		for i := range list {
			list[i] = homely(list[i], o)
		}
	}
	settings, err := routeInTime(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	var hops []*hop
	for _, s := range settings {
		var via *hop
		if len(hops) > 0 {
			via = hops[len(hops)-1]
		}
		h, err := openHop(ctx, s, via)
		if err != nil {
			closeHops(hops)
			return nil, err
		}
		hops = append(hops, h)
	}
	last := settings[len(settings)-1]
	most := o.MaxSessions
	if most <= 0 {
		most = maxSessions
	}
	c := &Client{
		host: last.written, user: last.user, ssh: hops[len(hops)-1].ssh, hops: hops,
		jumped: len(hops) > 1 || last.proxy != "",
		places: newPlaces(most), done: make(chan struct{}), closing: make(chan struct{}),
		again:    func(ctx context.Context) (*Client, error) { return Dial(ctx, spec, o) },
		dialling: make(chan struct{}, 1),
	}
	c.siblings.Store(int32(min(most, maxSessions)) - 1)
	c.wg.Go(c.watch)
	c.wg.Go(func() { c.keepAlive(last.keepAlive) })
	return c, nil
}

// routeInTime is route with a limit: a Match exec of ssh_config may hang.
func routeInTime(ctx context.Context, spec string, o Options) ([]settings, error) {
	limit := pick(o.ConnectTimeout, defaultConnect)
	inTime, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("reading ssh_config takes longer than %s", limit))
	defer cancel()
	client, err := exec.LookPath("ssh")
	if err != nil {
		client = "" // the files are read here then
	}
	return route(inTime, spec, o, client)
}

// User is who we are on the host.
func (c *Client) User() string { return c.user }

// MaxSessions is how many commands the connection runs at a time, as far as the host has shown: Options.MaxSessions until
// it refuses one.
func (c *Client) MaxSessions() int { return c.places.size() }

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Wait returns when the connection is over: with net.ErrClosed after Close, else with an error that wraps ErrLinkLost.
func (c *Client) Wait() error {
	<-c.done
	return c.err
}

// Close closes the connection and waits for all that lived on it. Sessions that are open fail with net.ErrClosed; their
// commands see the end of their stdin.
func (c *Client) Close() error {
	// The connection goes first: a channel that is closed on a live one ends its command's stdin, and a command that takes
	// that for the whole of it, and ends well, would look as if all had been done.
	c.end(net.ErrClosed)
	c.mu.Lock()
	if !c.isClosing() {
		close(c.closing)
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

// end breaks the connection; the first cause counts.
func (c *Client) end(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	_ = c.hops[0].conn.Close() // broken or not, all others live on this one
}

// watch waits for the connection's end and names it.
func (c *Client) watch() {
	err := c.ssh.Wait()
	c.end(fmt.Errorf("%w: %s: %s", ErrLinkLost, c.host, plainReason(err)))
	for _, h := range c.hops {
		_ = h.ssh.Wait() // how a broken connection ends does not matter any more
	}
	c.mu.Lock()
	c.err = c.cause
	c.mu.Unlock()
	close(c.done)
}

// enter counts in a goroutine that lives on the connection; false once it is closing.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosing() {
		return false
	}
	c.wg.Add(1)
	return true
}

func (c *Client) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

func closeHops(hops []*hop) {
	if len(hops) == 0 {
		return
	}
	_ = hops[0].conn.Close() // given up
	for _, h := range hops {
		_ = h.ssh.Wait()
	}
}
