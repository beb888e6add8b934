//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Controller is the name of the machine itself where a name of a host is asked for.
const Controller = "ctl"

// Options say what lab to make. The zero value of a field means its default.
type Options struct {
	ID        string        // begins the names of links, namespaces and cgroups; at most 11 of a-z, 0-9; default: a free one
	Subnet    string        // an IPv4 /24, "10.77.3.0/24"; default: a free one
	Hosts     []HostOptions // they are named h1, h2, ... and have the addresses .11, .12, ...
	Dir       string        // the folder of all labs; on a plain disk, not on overlayfs or tmpfs; default /var/lib/ship-lab
	EngineDir string        // the folder of all engines; default /var/cache/ship-lab/engines
	Keep      bool          // the lab outlives this process, until [Lab.Close] by whoever opens it
	Log       io.Writer     // what takes long is told here; default: nowhere
}

// HostOptions say what one host is like.
type HostOptions struct {
	Engine          string `json:"engine"`           // a Debian suite: bookworm (Docker 20.10), trixie (26.1), sid (28.5); default bookworm
	ContainerdStore bool   `json:"containerd_store"` // the containerd image store instead of the graph driver
	Disk            string `json:"disk,omitempty"`   // a disk of its own for the whole host, "500M", "2G"; default: shares the machine's
}

// Lab is a set of running hosts and the switch between them.
type Lab struct {
	ID     string
	Subnet netip.Prefix
	Hosts  []*Host

	dir string // of this lab
	log io.Writer
	cg  cgroups

	keep bool
}

// record is what lab.json holds: all that another process needs to use the lab or to remove it.
type record struct {
	ID        string        `json:"id"`
	Subnet    netip.Prefix  `json:"subnet"`
	EngineDir string        `json:"engine_dir"`
	Owner     owner         `json:"owner"`
	Keep      bool          `json:"keep"`
	Hosts     []HostOptions `json:"hosts"`
}

const recordFile = "lab.json"

// Up makes a lab and returns when sshd and dockerd of every host answer. It first removes what crashed labs left,
// installs missing tools by apt and builds missing engines. On an error nothing of the lab is left.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.ready(ctx); err != nil {
		return nil, err
	}
	l, err := claim(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.start(ctx, o); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ready sees to it that tools and engines are there.
func (o Options) ready(ctx context.Context) error {
	if err := Sweep(ctx, o.Dir); err != nil { // no reason for this lab to fail
		fmt.Fprintln(o.Log, err)
	}
	if err := plainDisk(o.Dir); err != nil {
		return err
	}
	if err := Install(ctx, o.Log); err != nil {
		return err
	}
	for _, h := range o.Hosts {
		if err := BuildEngine(ctx, o.EngineDir, h.Engine, o.Log); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) complete() error {
	switch {
	case !initialised.Load():
		return errors.New("lab: Init was not called first thing in main or TestMain")
	case os.Getuid() != 0:
		return errors.New("lab: needs root")
	case len(o.Hosts) == 0 || len(o.Hosts) > 200:
		return fmt.Errorf("lab: %d hosts, want 1 to 200", len(o.Hosts))
	case len(o.ID) > 11 || strings.Trim(o.ID, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		return fmt.Errorf("lab: id %q, want at most 11 of a-z and 0-9", o.ID)
	}
	o.Dir, o.EngineDir = Dir(o.Dir), EngineDir(o.EngineDir)
	if o.Log == nil {
		o.Log = io.Discard
	}
	o.Hosts = slices.Clone(o.Hosts)
	for i := range o.Hosts {
		if o.Hosts[i].Engine == "" {
			o.Hosts[i].Engine = "bookworm"
		}
		if err := o.Hosts[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (h HostOptions) check() error {
	if strings.Trim(h.Engine, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("lab: engine %q is no name of a Debian suite", h.Engine)
	}
	if h.Engine == "bookworm" && h.ContainerdStore {
		return errors.New("lab: Docker 20.10 of bookworm has no containerd image store")
	}
	if h.Disk == "" {
		return nil
	}
	_, err := ParseSize(h.Disk)
	return err
}

// start makes the keys and the hosts of a claimed lab.
func (l *Lab) start(ctx context.Context, o Options) error {
	begin := time.Now()
	if err := l.writeKeys(); err != nil {
		return err
	}
	if err := l.each(func(h *Host) error { return h.prepare(ctx) }); err != nil {
		return err
	}
	if err := l.writeClientFiles(); err != nil {
		return err
	}
	if err := l.each(func(h *Host) error { return h.Boot(ctx) }); err != nil {
		return err
	}
	if o.Keep {
		if err := l.disown(); err != nil {
			return err
		}
	}
	fmt.Fprintf(l.log, "%d hosts up in %.1f s: ssh -F %s %s\n", len(l.Hosts), time.Since(begin).Seconds(), l.SSHConfig(), l.Hosts[0].Name)
	return nil
}

// each does something to all hosts at once and returns all errors.
func (l *Lab) each(do func(*Host) error) error {
	errs := make([]error, len(l.Hosts))
	var wg sync.WaitGroup
	for i, h := range l.Hosts {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Open finds a lab that runs already, made with Keep.
func Open(dir, id string) (*Lab, error) {
	if !initialised.Load() {
		return nil, errors.New("lab: Init was not called first thing in main or TestMain")
	}
	r, err := readRecord(filepath.Join(Dir(dir), id))
	if err != nil {
		return nil, fmt.Errorf("open lab %s: %w", id, err)
	}
	return r.lab(Dir(dir), io.Discard)
}

func readRecord(labDir string) (record, error) {
	var r record
	b, err := os.ReadFile(filepath.Join(labDir, recordFile))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// lab is the Lab of a record below dir.
func (r record) lab(dir string, log io.Writer) (*Lab, error) {
	cg, err := findCgroups("/proc/mounts")
	if err != nil {
		return nil, err
	}
	l := &Lab{ID: r.ID, Subnet: r.Subnet, dir: filepath.Join(dir, r.ID), log: log, cg: cg, keep: r.Keep}
	for i, o := range r.Hosts {
		l.Hosts = append(l.Hosts, &Host{
			Name: fmt.Sprintf("h%d", i+1), Addr: nth(r.Subnet, 11+i), Options: o,
			lab: l, index: i, engine: filepath.Join(r.EngineDir, o.Engine),
		})
	}
	return l, nil
}

// Host returns the host of that name, or nil.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// addr is the address of a host or of the controller.
func (l *Lab) addr(name string) (netip.Addr, error) {
	if name == Controller {
		return nth(l.Subnet, 1), nil
	}
	if h := l.Host(name); h != nil {
		return h.Addr, nil
	}
	return netip.Addr{}, fmt.Errorf("lab %s has no host %q", l.ID, name)
}

// name undoes addr; "" for an address that is nobody's.
func (l *Lab) name(a netip.Addr) string {
	if a == nth(l.Subnet, 1) {
		return Controller
	}
	for _, h := range l.Hosts {
		if h.Addr == a {
			return h.Name
		}
	}
	return ""
}

// nth is the address number n of a /24.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().As4()
	b[3] = byte(n)
	return netip.AddrFrom4(b)
}

// Dir is the folder of all labs: dir, else SHIPLAB_DIR, else /var/lib/ship-lab.
func Dir(dir string) string { return first(dir, os.Getenv("SHIPLAB_DIR"), "/var/lib/ship-lab") }

// EngineDir is the folder of all engines: dir, else engines in SHIPLAB_CACHE, else in /var/cache/ship-lab.
func EngineDir(dir string) string {
	return first(dir, filepath.Join(first(os.Getenv("SHIPLAB_CACHE"), "/var/cache/ship-lab"), "engines"))
}

func first(words ...string) string {
	i := slices.IndexFunc(words, func(w string) bool { return w != "" })
	return words[i]
}
