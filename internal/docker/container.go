package docker

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ship/internal/plain"
)

// ContainerSpec is what a container is made from. The zero value of a field leaves the choice to the image, then to
// the engine.
type ContainerSpec struct {
	Name       string
	Image      string // a name or an ID the engine holds: nothing is ever pulled
	Env        []string
	Cmd        []string
	Entrypoint []string
	Labels     map[string]string
	User       string
	Hostname   string

	Network string   // "" = the engine's default bridge; also "host" and "none"
	IP      string   // a fixed address; needs a network that was created with a subnet
	Aliases []string // more names on a user network
	Ports   []Port   // published on the host

	Restart     string // "no", "always", "unless-stopped", "on-failure", "on-failure:5"
	Mounts      []Mount
	Tmpfs       map[string]string // path -> mount options: "size=1m,mode=755"
	StopTimeout *int              // seconds between the stop signal and the kill
	StopSignal  string
	Healthcheck *Healthcheck
	ExtraHosts  []string // "name:address"

	LogDriver  string // "" = json-file if LogMaxSize is set, else the engine's default
	LogMaxSize string // "10m"; older lines are dropped

	Init         bool // a tiny init as PID 1 that reaps orphans
	CapAdd       []string
	CapDrop      []string
	SecurityOpt  []string // "no-new-privileges"
	ReadOnlyRoot bool
}

// Mount puts a volume or a folder of the host into a container.
type Mount struct {
	Type     string // volume, bind, tmpfs
	Source   string // a volume's name or a path on the host, which must exist
	Target   string
	ReadOnly bool
}

// Port publishes a port of the container on the host.
type Port struct {
	HostIP    string // "" = every address
	HostPort  string // "" = the engine chooses
	Container string // "80/tcp"
}

// Healthcheck is run by the engine inside the container.
type Healthcheck struct {
	Test                           []string // {"CMD", "/bin/alive"}, {"CMD-SHELL", "curl ..."}, {"NONE"}
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

// CreateContainer returns ErrConflict when the name is taken and ErrNotFound when the engine has no such image. It
// never pulls.
func (c *Client) CreateContainer(ctx context.Context, spec ContainerSpec) (id string, err error) {
	const op = "create container"
	body, err := createBody(spec)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	q := url.Values{}
	if spec.Name != "" {
		q.Set("name", spec.Name)
	}
	var answer struct{ ID string }
	if err := c.do(ctx, post(op, "/containers/create", q, body), &answer); err != nil {
		return "", err
	}
	return answer.ID, nil
}

// StartContainer does nothing to one that runs.
func (c *Client) StartContainer(ctx context.Context, id string) error {
	return c.do(ctx, post("start container", "/containers/"+id+"/start", nil, nil), nil)
}

// StopContainer sends the stop signal, waits for timeout (rounded up to seconds) and kills. It returns when the
// container is down; one that is down already is no error.
func (c *Client) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	seconds := int(math.Ceil(max(timeout, 0).Seconds()))
	q := url.Values{"t": {strconv.Itoa(seconds)}}
	return c.do(ctx, post("stop container", "/containers/"+id+"/stop", q, nil), nil)
}

// KillContainer sends signal ("" = KILL). It returns ErrConflict when the container does not run.
func (c *Client) KillContainer(ctx context.Context, id, signal string) error {
	q := url.Values{}
	if signal != "" {
		q.Set("signal", signal)
	}
	return c.do(ctx, post("kill container", "/containers/"+id+"/kill", q, nil), nil)
}

// RemoveContainer removes a container; with force also one that runs, which is otherwise ErrConflict. Its volumes stay,
// the anonymous ones too: nobody loses data by it.
func (c *Client) RemoveContainer(ctx context.Context, id string, force bool) error {
	q := url.Values{}
	if force {
		q.Set("force", "1")
	}
	return c.do(ctx, request{op: "remove container", method: http.MethodDelete, path: "/containers/" + id, query: q}, nil)
}

// RenameContainer returns ErrConflict when the name is taken.
func (c *Client) RenameContainer(ctx context.Context, id, name string) error {
	return c.do(ctx, post("rename container", "/containers/"+id+"/rename", url.Values{"name": {name}}, nil), nil)
}

// SetRestart changes the restart policy of a container, whether it runs or not.
func (c *Client) SetRestart(ctx context.Context, id, policy string) error {
	const op = "set restart policy"
	r, err := parseRestart(policy)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	body := struct{ RestartPolicy restartAPI }{r}
	return c.do(ctx, post(op, "/containers/"+id+"/update", nil, body), nil)
}

// WaitContainer waits until the container, which must have been started, does not run, and returns its exit status.
func (c *Client) WaitContainer(ctx context.Context, id string) (status int, err error) {
	const op = "wait for container"
	var a struct {
		StatusCode int
		Error      *struct{ Message string }
	}
	if err := c.do(ctx, post(op, "/containers/"+id+"/wait", nil, nil), &a); err != nil {
		return 0, err
	}
	if a.Error != nil && a.Error.Message != "" {
		return 0, fmt.Errorf("%s: %s", op, plain.Line(a.Error.Message, maxText))
	}
	return a.StatusCode, nil
}

// createBody turns a spec into the body of a create request.
func createBody(s ContainerSpec) (createAPI, error) {
	restart, err := parseRestart(s.Restart)
	if err != nil {
		return createAPI{}, err
	}
	network, err := networkingOf(s)
	if err != nil {
		return createAPI{}, err
	}
	b := createAPI{
		Hostname: s.Hostname, User: s.User, Env: s.Env, Cmd: s.Cmd, Entrypoint: s.Entrypoint, Image: s.Image, Labels: s.Labels,
		StopSignal: s.StopSignal, StopTimeout: s.StopTimeout, Healthcheck: s.Healthcheck.api(),
		NetworkingConfig: network,
		HostConfig: hostConfigAPI{
			NetworkMode: s.Network, RestartPolicy: restart, Tmpfs: s.Tmpfs, ExtraHosts: s.ExtraHosts,
			CapAdd: s.CapAdd, CapDrop: s.CapDrop, SecurityOpt: s.SecurityOpt, ReadonlyRootfs: s.ReadOnlyRoot,
			LogConfig: logConfigOf(s),
		},
	}
	if s.Init {
		b.HostConfig.Init = &s.Init
	}
	for _, m := range s.Mounts {
		b.HostConfig.Mounts = append(b.HostConfig.Mounts, mountAPI(m))
	}
	for _, p := range s.Ports {
		if b.ExposedPorts == nil {
			b.ExposedPorts, b.HostConfig.PortBindings = map[string]struct{}{}, map[string][]portAPI{}
		}
		b.ExposedPorts[p.Container] = struct{}{}
		b.HostConfig.PortBindings[p.Container] = append(b.HostConfig.PortBindings[p.Container], portAPI{HostIP: p.HostIP, HostPort: p.HostPort})
	}
	return b, nil
}

func networkingOf(s ContainerSpec) (*networkingAPI, error) {
	if s.IP == "" && len(s.Aliases) == 0 {
		return nil, nil
	}
	if s.Network == "" {
		return nil, fmt.Errorf("a fixed address or an alias needs a network")
	}
	end := endpointAPI{Aliases: s.Aliases}
	if s.IP != "" {
		addr, err := netip.ParseAddr(s.IP)
		switch {
		case err != nil:
			return nil, fmt.Errorf("fixed address: %w", err)
		case addr.Is4():
			end.IPAMConfig = &ipamAPI{IPv4Address: s.IP}
		default:
			end.IPAMConfig = &ipamAPI{IPv6Address: s.IP}
		}
	}
	return &networkingAPI{EndpointsConfig: map[string]endpointAPI{s.Network: end}}, nil
}

func logConfigOf(s ContainerSpec) *logAPI {
	if s.LogDriver == "" && s.LogMaxSize == "" {
		return nil
	}
	l := &logAPI{Type: s.LogDriver}
	if l.Type == "" {
		l.Type = "json-file" // the limit means nothing to some other drivers, which then refuse it
	}
	if s.LogMaxSize != "" {
		l.Config = map[string]string{"max-size": s.LogMaxSize}
	}
	return l
}

func parseRestart(s string) (restartAPI, error) {
	name, count, limited := strings.Cut(s, ":")
	r := restartAPI{Name: name}
	if !limited {
		return r, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || name != "on-failure" {
		return r, fmt.Errorf("restart policy %q: want on-failure:NUMBER", s)
	}
	r.MaximumRetryCount = n
	return r, nil
}

func (r restartAPI) String() string {
	if r.MaximumRetryCount > 0 {
		return fmt.Sprintf("%s:%d", r.Name, r.MaximumRetryCount)
	}
	return r.Name
}
