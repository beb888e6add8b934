package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/sshx"
	"ship/orchestrate"
	"ship/proxy"
	"ship/transfer"
)

// Statuses of our own scripts: those of sysexits.h, which neither docker nor a shell uses for itself.
const (
	statusNoEngine = 69 // EX_UNAVAILABLE
	statusNoRights = 77 // EX_NOPERM
)

// asDocker is the head of every script that we run on a host: it makes $up the way to run a command with the rights
// that Docker needs there. Root and members of the docker group need nothing, others sudo without a password.
const asDocker = `PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
export PATH
up=
if [ "$(id -u)" != 0 ] && [ -z "${DOCKER_HOST-}" ] && [ ! -w /var/run/docker.sock ]; then
	if [ ! -S /var/run/docker.sock ]; then
		echo "there is no Docker engine: /var/run/docker.sock is missing" >&2; exit 69
	elif sudo -n true 2>/dev/null; then up='sudo -n'
	else echo "user $(id -un) may not use Docker" >&2; exit 77; fi
fi
command -v docker >/dev/null || { echo "the docker command is missing" >&2; exit 69; }
`

// link is the SSH connection to one host, as the things that we do through it.
type link struct {
	name string
	line *line[*sshx.Client]
}

// Close ends the connection for good.
func (l *link) Close() error { return l.line.close() }

// Lost tells whether the connection is down. It never waits.
func (l *link) Lost() bool { return l.line.lost() }

// Link numbers the connection: the number grows each time that a lost one was made again.
func (l *link) Link() uint64 { return l.line.number() }

// run runs a script by sh on the host.
func (l *link) run(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error) {
	c, err := l.line.get(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Run(ctx, sshx.Command{Script: text, Argv: args, Stdin: stdin})
	return res.Stdout, l.explain(err)
}

// Script runs text by sh on the host, with the rights that Docker needs there.
func (l *link) Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error) {
	return l.run(ctx, asDocker+`t=$1; shift; exec $up sh -c "$t" ship "$@"`, append([]string{text}, args...), stdin)
}

// engine dials the host's engine: `docker system dial-stdio` joins its socket to the command's standard input and output.
func (l *link) engine(ctx context.Context) (net.Conn, error) {
	return l.dial(ctx, "docker", "system", "dial-stdio")
}

// proxy dials the control socket inside the proxy's container.
func (l *link) proxy(ctx context.Context) (net.Conn, error) {
	return l.dial(ctx, "docker", "exec", "-i", orchestrate.ProxyName, "/ship", "proxy", "control")
}

func (l *link) dial(ctx context.Context, argv ...string) (net.Conn, error) {
	return l.start(ctx, asDocker+`exec $up "$@"`, argv)
}

func (l *link) start(ctx context.Context, script string, argv []string) (net.Conn, error) {
	client, err := l.line.get(ctx)
	if err != nil {
		return nil, err
	}
	c, err := client.Conn(ctx, sshx.Command{Script: script, Argv: argv})
	if err != nil {
		return nil, l.explain(err)
	}
	return explained{c, l}, nil
}

// remote is a link as package transfer uses it: as the SSH user, unless Docker's rights are asked for.
type remote struct{ *link }

// Script runs text by sh on the host as the SSH user.
func (r remote) Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error) {
	return r.run(ctx, text, args, stdin)
}

// Start runs a program on the host.
func (r remote) Start(ctx context.Context, docker bool, argv ...string) (net.Conn, error) {
	if docker {
		return r.dial(ctx, argv...)
	}
	return r.start(ctx, `exec "$@"`, argv)
}

// Login says how the host was logged in to.
func (r remote) Login() transfer.Login {
	c := r.line.last()
	return transfer.Login{User: c.User(), Addr: c.RemoteAddr(), HostKey: c.HostKey(), RTT: c.RTT()}
}

// explained turns the status of our script into an error that says what to do.
type explained struct {
	net.Conn
	link *link
}

func (e explained) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	return n, e.link.explain(err)
}

// A command that has ended already fails the first write, before anything is read of it.
func (e explained) Write(p []byte) (int, error) {
	n, err := e.Conn.Write(p)
	return n, e.link.explain(err)
}

// CloseWrite passes on a half-close, where the connection has one.
func (e explained) CloseWrite() error {
	if c, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// rightsError is a login that works on a host whose engine does not, for this user.
type rightsError struct {
	cause string
	help  string
}

func (e *rightsError) Error() string { return e.cause }

// Hint says how to get the rights.
func (e *rightsError) Hint() string { return e.help }

func (l *link) explain(err error) error {
	var exit *sshx.ExitError
	if !errors.As(err, &exit) || exit.Status != statusNoEngine && exit.Status != statusNoRights {
		return err
	}
	help := "install Docker 20.10 or newer on " + l.name
	if exit.Status == statusNoRights {
		help = fmt.Sprintf("on %s, as root: usermod -aG docker USER (and log in again), or allow USER sudo without a password", l.name)
	}
	return &rightsError{strings.TrimSpace(exit.Stderr), help}
}

// fleet is the open connections to several hosts.
type fleet struct {
	Hosts  []orchestrate.Host
	closer []func()
}

// Close ends all links.
func (f *fleet) Close() {
	for _, c := range f.closer {
		c()
	}
}

// maxDials bounds how many hosts are dialled at once: they may share a jump host, whose sshd drops what comes beyond
// MaxStartups (10 by default, half-open).
const maxDials = 8

// connect opens one SSH connection to each host, all at once. On an error none stays open.
func (d *deps) connect(ctx context.Context, names []string, o sshx.Options) (*fleet, error) {
	f := &fleet{Hosts: make([]orchestrate.Host, len(names)), closer: make([]func(), len(names))}
	errs := make([]error, len(names))
	slots := make(chan struct{}, maxDials)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			d.ui.Emit(event.Event{Type: event.Phase, Host: name, Phase: "connect"})
			f.Hosts[i], f.closer[i], errs[i] = dialHost(ctx, name, o)
		}()
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, c := range f.closer {
			if c != nil {
				c()
			}
		}
		return nil, err
	}
	return f, nil
}

func dialHost(ctx context.Context, name string, o sshx.Options) (orchestrate.Host, func(), error) {
	dial := func(ctx context.Context) (*sshx.Client, error) { return sshx.Dial(ctx, name, o) }
	c, err := dial(ctx)
	if err != nil {
		return orchestrate.Host{}, nil, &orchestrate.HostError{Host: name, Step: "connect", Err: err}
	}
	l := &link{name: name, line: newLine(c, dial)}
	engine, px := docker.New(l.engine), proxy.NewClient(l.proxy)
	stop := func() {
		engine.Close()
		px.Close()
		_ = l.Close() // nothing more is said over it; what could fail has been answered
	}
	return orchestrate.Host{Name: name, Shell: l, Engine: engine, Proxy: px, Remote: remote{l}}, stop, nil
}

// sshOptions are the flags' and, where a configuration was read, the file's.
func (d *deps) sshOptions() sshx.Options {
	return sshx.Options{ConfigFile: d.SSHConfig, Identities: d.Identity, KnownHosts: d.KnownHosts, Getenv: d.getenv, Limit: d.limit(0)}
}
