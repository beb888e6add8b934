package docker

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"ship/internal/plain"
)

// maxHealthText bounds one entry of Container.HealthLog, in bytes.
const maxHealthText = 512

// Container is one container as its engine sees it.
type Container struct {
	ID, Name     string
	Image        string // the name it was created from, which may mean another image by now
	ImageID      string
	Labels       map[string]string
	State        string // created, running, paused, restarting, removing, exited, dead
	Running      bool   // also while Restarting
	Restarting   bool
	RestartCount int
	ExitCode     int
	OOMKilled    bool
	Error        string   // why it could not start
	Health       string   // "" (no check), starting, healthy, unhealthy
	HealthLog    []string // what the last checks printed, oldest first, bounded and cleaned

	Created, StartedAt, FinishedAt time.Time         // zero = never
	IPs                            map[string]string // network -> address; the fixed one while it is down
	Env                            []string
	TTY                            bool

	// Spec creates the same container again. What the image gave (command, environment) is spelled out in it, so it
	// belongs to that image: set Spec.Image to ImageID if the name may have moved.
	Spec ContainerSpec
}

// InspectContainer takes an ID or a name.
func (c *Client) InspectContainer(ctx context.Context, id string) (Container, error) {
	var a containerAnswer
	if err := c.do(ctx, get("inspect container", "/containers/"+id+"/json", nil), &a); err != nil {
		return Container{}, err
	}
	return a.container(), nil
}

// ContainerSummary is a container in a list.
type ContainerSummary struct {
	ID, Name string
	Image    string // the name it was created from, or an ID when that name has moved
	ImageID  string
	Labels   map[string]string
	State    string
	Status   string // for people: "Up 5 minutes (healthy)"
	Created  time.Time
	IPs      map[string]string // network -> address; the fixed one while it is down
}

// ListContainers returns the containers in all states that carry all of labels; an empty value stands for any value.
func (c *Client) ListContainers(ctx context.Context, labels map[string]string) ([]ContainerSummary, error) {
	const op = "list containers"
	filter, err := labelFilter(labels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	var a []struct {
		ID              string `json:"Id"`
		Names           []string
		Image, ImageID  string
		Labels          map[string]string
		State, Status   string
		Created         int64
		NetworkSettings struct{ Networks map[string]endpointAPI }
	}
	q := url.Values{"all": {"1"}, "filters": {filter}}
	if err := c.do(ctx, get(op, "/containers/json", q), &a); err != nil {
		return nil, err
	}
	out := make([]ContainerSummary, len(a))
	for i, m := range a {
		out[i] = ContainerSummary{
			ID: m.ID, Name: ownName(m.Names), Image: m.Image, ImageID: m.ImageID, Labels: m.Labels,
			State: m.State, Status: plain.Line(m.Status, maxHealthText), Created: time.Unix(m.Created, 0),
			IPs: addresses(m.NetworkSettings.Networks),
		}
	}
	return out, nil
}

// containerAnswer is what engines say of one container.
type containerAnswer struct {
	ID           string `json:"Id"`
	Name         string
	Image        string
	Created      timestamp
	RestartCount int
	State        struct {
		Status                         string
		Running, Restarting, OOMKilled bool
		ExitCode                       int
		Error                          string
		StartedAt, FinishedAt          timestamp
		Health                         *struct {
			Status string
			Log    []struct{ Output string }
		}
	}
	Config          configAnswer
	HostConfig      hostConfigAPI
	NetworkSettings struct{ Networks map[string]endpointAPI }
}

func (a containerAnswer) container() Container {
	s := a.State
	c := Container{
		ID: a.ID, Name: strings.TrimPrefix(a.Name, "/"), Image: a.Config.Image, ImageID: a.Image, Labels: a.Config.Labels,
		State: s.Status, Running: s.Running, Restarting: s.Restarting, RestartCount: a.RestartCount,
		ExitCode: s.ExitCode, OOMKilled: s.OOMKilled, Error: plain.Line(s.Error, maxText),
		Created: a.Created.Time, StartedAt: s.StartedAt.Time, FinishedAt: s.FinishedAt.Time,
		IPs: addresses(a.NetworkSettings.Networks), Env: a.Config.Env, TTY: a.Config.Tty,
		Spec: a.spec(),
	}
	if h := s.Health; h != nil && h.Status != "none" {
		c.Health = h.Status
		for _, l := range h.Log {
			c.HealthLog = append(c.HealthLog, plain.Line(l.Output, maxHealthText))
		}
	}
	return c
}

// spec undoes createBody.
func (a containerAnswer) spec() ContainerSpec {
	c, h := a.Config, a.HostConfig
	s := ContainerSpec{
		Name: strings.TrimPrefix(a.Name, "/"), Image: c.Image, Env: c.Env, Cmd: c.Cmd, Entrypoint: c.Entrypoint, Labels: c.Labels,
		User: c.User, Network: h.NetworkMode, Restart: h.RestartPolicy.String(), Mounts: mountsOf(h), Tmpfs: h.Tmpfs,
		StopTimeout: c.StopTimeout, StopSignal: c.StopSignal, Healthcheck: c.Healthcheck.public(), ExtraHosts: h.ExtraHosts,
		Init: h.Init != nil && *h.Init, CapAdd: h.CapAdd, CapDrop: h.CapDrop, SecurityOpt: h.SecurityOpt, ReadOnlyRoot: h.ReadonlyRootfs,
	}
	// Without a name of its own a container is called after its ID, or after the host on the host's network.
	if !strings.HasPrefix(a.ID, c.Hostname) && h.NetworkMode != "host" {
		s.Hostname = c.Hostname
	}
	if h.LogConfig != nil {
		s.LogDriver, s.LogMaxSize = h.LogConfig.Type, h.LogConfig.Config["max-size"]
	}
	if e, ok := a.NetworkSettings.Networks[h.NetworkMode]; ok {
		s.IP = e.fixed()
		// Engines before 26 add the short ID to the aliases.
		s.Aliases = slices.DeleteFunc(slices.Clone(e.Aliases), func(n string) bool { return strings.HasPrefix(a.ID, n) })
	}
	for _, port := range slices.Sorted(maps.Keys(h.PortBindings)) {
		for _, b := range h.PortBindings[port] {
			s.Ports = append(s.Ports, Port{HostIP: b.HostIP, HostPort: b.HostPort, Container: port})
		}
	}
	return s
}

// mountsOf also reads SOURCE:TARGET[:OPTIONS], the form in which other tools mount.
func mountsOf(h hostConfigAPI) []Mount {
	var out []Mount
	for _, m := range h.Mounts {
		out = append(out, Mount(m))
	}
	for _, b := range h.Binds {
		part := strings.SplitN(b, ":", 3)
		if len(part) < 2 {
			continue
		}
		m := Mount{Type: "volume", Source: part[0], Target: part[1]}
		if strings.HasPrefix(part[0], "/") {
			m.Type = "bind"
		}
		m.ReadOnly = len(part) == 3 && slices.Contains(strings.Split(part[2], ","), "ro")
		out = append(out, m)
	}
	return out
}

func addresses(networks map[string]endpointAPI) map[string]string {
	out := make(map[string]string, len(networks))
	for name, e := range networks {
		out[name] = e.address()
	}
	return out
}

// ownName picks the name without a second slash: the others are links from other containers.
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}
