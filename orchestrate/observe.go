package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/proxy"
)

// ProxyName is the container of ship's proxy on each host.
const ProxyName = "ship-proxy"

// Observed is what one host was found to be and to hold.
type Observed struct {
	Host      string
	Info      docker.Info
	StateDir  string     // where ship keeps the lease and the audit log on the host
	Free      int64      // bytes on the file system of the engine's root
	Listening []int      // TCP ports that anything on the host listens on, ascending
	Deployed  []Deployed // containers of the app, in any state, newest generation first
	Odd       []string   // containers that carry the app's labels and make no sense; left alone
	Proxy     ObservedProxy
}

// ObservedProxy is the state of the host's proxy.
type ObservedProxy struct {
	Exists    bool         `json:"exists"`
	Running   bool         `json:"running"`
	Version   string       `json:"version"`
	Port      int          `json:"port"`           // that it listens on; 0 = not known
	HTTPSPort int          `json:"https_port"`     // the same for https; 0 = it has none
	Args      string       `json:"args,omitempty"` // more of its command
	ID        string       `json:"id"`
	Image     string       `json:"image"`          // a reference
	Status    proxy.Status `json:"status"`         // if running
	Mute      string       `json:"mute,omitempty"` // running, but its control does not answer: why
	Err       error        `json:"-"`              // the same

	Unfinished bool `json:"unfinished,omitempty"` // an upgrade was begun, and its run died
	Retired    int  `json:"retired,omitempty"`    // containers of proxies that were replaced; those that run have requests still
}

// facts is the script for what the engine cannot tell. /proc/net/tcp needs no tool and no rights; state 0A is LISTEN.
const facts = stateDir + `
echo "state $state"
df -Pk "$1" 2>/dev/null | awk 'NR==2{print "free " $4}'
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4=="0A"{n=split($2,a,":"); print "port " a[n]}' | sort -u
`

// Observe asks all hosts at once what they are and what they run. Nothing is changed, but that ship's own state folder
// is made where there is none. The error joins those of all hosts that could not be asked.
func Observe(ctx context.Context, app App, hosts []Host) ([]Observed, error) {
	out := make([]Observed, len(hosts))
	err := eachHost(hosts, func(i int, h Host) error {
		o, err := observe(ctx, app, h)
		out[i] = o
		return onHost(h.Name, "observe", err)
	})
	return out, err
}

func observe(ctx context.Context, app App, h Host) (Observed, error) {
	o := Observed{Host: h.Name}
	var err error
	if o.Info, err = h.Engine.Info(ctx); err != nil {
		return o, err
	}
	// The rest is independent: asked at once, it costs one round trip's time.
	err = together(
		func() error { return o.readFacts(ctx, h) },
		func() error { return o.readProxy(ctx, h) },
		func() error { return o.readDeployed(ctx, app, h) },
	)
	if err != nil {
		return o, err
	}
	service := func(role string) string { return app.proxyService(role) }
	for i := range o.Deployed {
		d := &o.Deployed[i]
		s, ok := o.Proxy.service(service(d.Role))
		if t := target(s, d.ID); ok && t != nil {
			d.Serving, d.Tally = true, Tally{t.Answered, t.Failed}
		}
	}
	return o, nil
}

// target is the one of the service's that has the container's ID; nil: it serves by others.
func target(s proxy.ServiceStatus, id string) *proxy.TargetStatus {
	for _, t := range s.Targets() {
		if t.ID == id {
			return &t
		}
	}
	return nil
}

// proxyService names the app's role in the proxy.
func (a App) proxyService(role string) string { return a.Name() + "." + role }

func (o *Observed) readFacts(ctx context.Context, h Host) error {
	out, err := h.Shell.Script(ctx, facts, []string{o.Info.RootDir}, nil)
	if err != nil {
		return err
	}
	return o.parseFacts(string(out))
}

func (o *Observed) parseFacts(out string) error {
	o.Free = -1
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "state":
			o.StateDir = value
		case "free":
			kb, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("free disk: %w", err)
			}
			o.Free = kb << 10
		case "port":
			port, err := strconv.ParseUint(value, 16, 16)
			if err != nil {
				return fmt.Errorf("listening ports: %w", err)
			}
			o.Listening = append(o.Listening, int(port))
		}
	}
	return nil
}

func (o *Observed) readProxy(ctx context.Context, h Host) error {
	for try := 0; ; try++ {
		g, err := findGates(ctx, h)
		if err != nil {
			return err
		}
		o.Proxy = observedProxy(g)
		if !o.Proxy.Running {
			return nil
		}
		if o.Proxy.Status, err = h.Proxy.Status(ctx); err == nil {
			return nil
		}
		o.Proxy.Err, o.Proxy.Mute = err, err.Error()
		// It may have ended since, or changed its name, for another run upgrades it.
		if try == 2 || !sleep(ctx, 200*time.Millisecond) {
			return nil
		}
	}
}

func observedProxy(g gates) ObservedProxy {
	p := ObservedProxy{Unfinished: g.unfinished(), Retired: len(g.retired)}
	if c := g.current; c != nil {
		p.Exists, p.Running = true, g.runs()
		p.Version, p.ID, p.Image, p.Args = c.Labels[LabelProxy], c.ID, c.Image, c.Labels[LabelArgs]
		if port, err := strconv.Atoi(c.Labels[LabelPort]); err == nil {
			p.Port = port
		}
		if port, err := strconv.Atoi(c.Labels[LabelHTTPSPort]); err == nil {
			p.HTTPSPort = port
		}
	}
	return p
}

func (p ObservedProxy) service(name string) (proxy.ServiceStatus, bool) {
	for _, s := range p.Status.Services {
		if s.Name == name {
			return s, true
		}
	}
	return proxy.ServiceStatus{}, false
}

func (o *Observed) readDeployed(ctx context.Context, app App, h Host) error {
	list, err := h.Engine.ListContainers(ctx, app.Labels())
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, s := range list {
		if s.Labels[LabelDestination] != app.Destination { // a filter for "" also matches containers without a value
			continue
		}
		c, err := h.Engine.InspectContainer(ctx, s.ID)
		if errors.Is(err, docker.ErrNotFound) {
			continue // gone since the list
		}
		if err != nil {
			return fmt.Errorf("inspect container %s: %w", s.Name, err)
		}
		d, err := readDeployed(c)
		if err != nil {
			o.Odd = append(o.Odd, err.Error())
			continue
		}
		o.Deployed = append(o.Deployed, d)
	}
	sortDeployed(o.Deployed)
	return nil
}

// Generation is the highest that anything on the host has seen.
func (o *Observed) Generation() int64 {
	var n int64
	for _, d := range o.Deployed {
		n = max(n, d.Generation)
	}
	for _, s := range o.Proxy.Status.Services {
		n = max(n, s.Generation)
	}
	return n
}

// Current are the containers that serve the role on the host now: those that the proxy sends requests to; where no proxy is
// asked, of each replica the newest committed container that runs.
func (o *Observed) Current(role string) (all []*Deployed) {
	for i := range o.Deployed {
		if d := &o.Deployed[i]; d.Role == role && d.Serving {
			all = append(all, d)
		}
	}
	if len(all) > 0 {
		return all
	}
	for i := range o.Deployed {
		d := &o.Deployed[i]
		if d.Role == role && d.Settings.Service == nil && d.Running && d.Committed() && replicaOf(all, d.Replica) == nil {
			all = append(all, d)
		}
	}
	return all
}

// Serves tells whether a container is one of those.
func (o *Observed) Serves(d Deployed) bool {
	return slices.ContainsFunc(o.Current(d.Role), func(c *Deployed) bool { return c.ID == d.ID })
}

// replicaOf is the container that is the nth replica; nil: none is.
func replicaOf(all []*Deployed, n int) *Deployed {
	for _, d := range all {
		if d.Replica == n {
			return d
		}
	}
	return nil
}
