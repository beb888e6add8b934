//go:build linux

package docker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// create makes a container and removes it after the test.
func (e engine) create(t *testing.T, spec ContainerSpec) string {
	t.Helper()
	id, err := e.CreateContainer(t.Context(), spec)
	must(t, err)
	t.Cleanup(func() { _ = e.RemoveContainer(context.Background(), id, true) }) // the test may have done so
	return id
}

func (e engine) inspect(t *testing.T, id string) Container {
	t.Helper()
	c, err := e.InspectContainer(t.Context(), id)
	must(t, err)
	return c
}

func (e engine) logs(t *testing.T, id string, o LogOptions) string {
	t.Helper()
	r, err := e.Logs(t.Context(), id, o)
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, err)
	return string(b)
}

// The life of a container of an app, with what a deploy asks for.
func TestContainer(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		m := newImage(t, "ctr/app:v1", "container")
		e.load(t, m)
		const network = "ctr-net"
		must(t, e.CreateNetwork(ctx, network, "10.199.7.0/24", map[string]string{"l": "n"}))
		t.Cleanup(func() { must(t, e.RemoveNetwork(context.Background(), network)) })
		grace := 3
		spec := ContainerSpec{
			Name: "ctr-one", Image: m.tag, Env: []string{"NAME=spec"}, Labels: map[string]string{"ctr": "yes", "nr": "1"},
			Network: network, IP: "10.199.7.9", Hostname: "one", Aliases: []string{"ctr"}, Restart: "unless-stopped", LogMaxSize: "1m",
			Init: true, StopTimeout: &grace, ExtraHosts: []string{"db:10.0.0.1"}, User: "5:5",
			Mounts: []Mount{{Type: "bind", Source: "/etc/hostname", Target: "/name", ReadOnly: true}},
		}
		id := e.create(t, spec)
		if c := e.inspect(t, id); c.State != "created" || c.Running || c.IPs[network] != "10.199.7.9" {
			t.Errorf("created: %+v", c)
		}
		must(t, e.StartContainer(ctx, id))
		must(t, e.StartContainer(ctx, id)) // once more is fine
		until(t, "healthy", func() bool { return e.inspect(t, id).Health == "healthy" })
		checkRunning(t, e, id, spec)
		checkLogs(t, e, id)
		checkConflicts(t, e, id, spec)
		must(t, e.StopContainer(ctx, id, 5*time.Second))
		must(t, e.StopContainer(ctx, id, 5*time.Second))
		c := e.inspect(t, id)
		if c.State != "exited" || c.Running || c.ExitCode != 0 || c.FinishedAt.Before(c.StartedAt) || c.IPs[network] != "10.199.7.9" {
			t.Errorf("stopped: %+v", c)
		}
		if got := e.logs(t, id, LogOptions{Tail: 1}); got != "bye\n" {
			t.Errorf("last line %q", got)
		}
		checkRecreate(t, e, c)
		must(t, e.RemoveContainer(ctx, id, false))
		for name, err := range map[string]error{
			"inspect": second(e.InspectContainer(ctx, id)), "start": e.StartContainer(ctx, id), "stop": e.StopContainer(ctx, id, 0),
			"remove": e.RemoveContainer(ctx, id, true), "logs": second(e.Logs(ctx, id, LogOptions{})), "wait": second(e.WaitContainer(ctx, id)),
			"kill": e.KillContainer(ctx, id, ""), "rename": e.RenameContainer(ctx, id, "ctr-x"),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s of what is gone: %v, want ErrNotFound", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func checkRunning(t *testing.T, e engine, id string, spec ContainerSpec) {
	t.Helper()
	c := e.inspect(t, id)
	if c.ID != id || c.Name != spec.Name || c.Image != spec.Image || !strings.HasPrefix(c.ImageID, "sha256:") || c.State != "running" || !c.Running ||
		c.StartedAt.IsZero() || !c.FinishedAt.IsZero() || c.IPs[spec.Network] != spec.IP || !slices.Contains(c.Env, "NAME=spec") ||
		len(c.HealthLog) == 0 || c.HealthLog[0] != "alive and well" {
		t.Errorf("running: %+v", c)
	}
	n, err := e.InspectNetwork(t.Context(), spec.Network)
	must(t, err)
	if n.Name != spec.Network || n.Driver != "bridge" || !slices.Equal(n.Subnets, []string{"10.199.7.0/24"}) ||
		n.Labels["l"] != "n" || n.Containers[spec.Name] != spec.IP {
		t.Errorf("network %+v", n)
	}
	for _, labels := range []map[string]string{{"ctr": "yes", "nr": "1"}, {"ctr": ""}} {
		list, err := e.ListContainers(t.Context(), labels)
		must(t, err)
		if len(list) != 1 || list[0].ID != id || list[0].Name != spec.Name || list[0].Image != spec.Image || list[0].ImageID != c.ImageID ||
			list[0].Labels["nr"] != "1" || list[0].State != "running" || !strings.HasPrefix(list[0].Status, "Up") ||
			list[0].IPs[spec.Network] != spec.IP || time.Since(list[0].Created) > time.Hour {
			t.Errorf("list by %v: %+v", labels, list)
		}
	}
	list, err := e.ListContainers(t.Context(), map[string]string{"ctr": "yes", "nr": "2"})
	if must(t, err); len(list) != 0 {
		t.Errorf("list by another label: %+v", list)
	}
}

func checkLogs(t *testing.T, e engine, id string) {
	t.Helper()
	until(t, "all lines", func() bool { return strings.Count(e.logs(t, id, LogOptions{}), "\n") == 7 })
	// The engine reads the two streams apart from each other: only within one is the order certain.
	checkStreams := func(what, log string) {
		t.Helper()
		var out, errs string
		for line := range strings.Lines(log) {
			if strings.HasPrefix(line, "err") {
				errs += line
			} else {
				out += line
			}
		}
		if out != "NAME=spec\nout 0\nout 1\nout 2\n" || errs != "err 0\nerr 1\nerr 2\n" {
			t.Errorf("%s: %q", what, log)
		}
	}
	whole := e.logs(t, id, LogOptions{})
	checkStreams("log", whole)
	checkStreams("log of the last hour", e.logs(t, id, LogOptions{Since: "1h"}))
	lines := slices.Collect(strings.Lines(whole))
	if got := e.logs(t, id, LogOptions{Tail: 2}); got != lines[5]+lines[6] {
		t.Errorf("last two lines %q of %q", got, whole)
	}
	if got := e.logs(t, id, LogOptions{Since: time.Now().Add(time.Hour).Format(time.RFC3339)}); got != "" {
		t.Errorf("log of the future %q", got)
	}
	stamp, rest, _ := strings.Cut(e.logs(t, id, LogOptions{Tail: 1, Timestamps: true}), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || rest != lines[6] {
		t.Errorf("with time: %q %q", stamp, rest)
	}
	// Following ends when it is closed or cancelled, here: cancelled.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := e.Logs(ctx, id, LogOptions{Follow: true})
	must(t, err)
	defer r.Close()
	lr := bufio.NewReader(r)
	var followed string
	for range lines {
		line, err := lr.ReadString('\n')
		must(t, err)
		followed += line
	}
	checkStreams("followed", followed)
	cancel()
	if _, err := lr.ReadString('\n'); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func checkConflicts(t *testing.T, e engine, id string, spec ContainerSpec) {
	t.Helper()
	ctx := t.Context()
	if _, err := e.CreateContainer(ctx, spec); !errors.Is(err, ErrConflict) {
		t.Errorf("create with a taken name: %v, want ErrConflict", err)
	}
	if err := e.RemoveContainer(ctx, id, false); !errors.Is(err, ErrConflict) {
		t.Errorf("remove what runs: %v, want ErrConflict", err)
	}
	if err := e.RemoveImage(ctx, spec.Image); !errors.Is(err, ErrConflict) {
		t.Errorf("remove the image of what runs: %v, want ErrConflict", err)
	}
	if err := e.CreateNetwork(ctx, spec.Network, "", nil); !errors.Is(err, ErrConflict) {
		t.Errorf("create a taken network: %v, want ErrConflict", err)
	}
	if _, err := e.CreateContainer(ctx, ContainerSpec{Name: "ctr-two", Image: "no/such:image"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("create without image: %v, want ErrNotFound", err)
	}
	if _, err := e.InspectNetwork(ctx, "no-such-net"); !errors.Is(err, ErrNotFound) {
		t.Errorf("inspect no network: %v, want ErrNotFound", err)
	}
	// A second container with the same address is refused when it starts.
	spec.Name = "ctr-same"
	same, err := e.CreateContainer(ctx, spec)
	must(t, err)
	var ae *APIError
	if err := e.StartContainer(ctx, same); !errors.As(err, &ae) {
		t.Errorf("start with a taken address: %v, want an *APIError", err)
	}
	must(t, e.RemoveContainer(ctx, same, true))
}

// checkRecreate makes the same container again, under another name and address.
func checkRecreate(t *testing.T, e engine, c Container) {
	t.Helper()
	spec := c.Spec
	spec.Image, spec.Name, spec.IP = c.ImageID, "ctr-again", "10.199.7.10"
	id := e.create(t, spec)
	must(t, e.RenameContainer(t.Context(), id, "ctr-again-2"))
	must(t, e.SetRestart(t.Context(), id, "on-failure:3"))
	spec.Name, spec.Restart = "ctr-again-2", "on-failure:3"
	must(t, e.StartContainer(t.Context(), id))
	if got := e.inspect(t, id); got.ImageID != c.ImageID || got.IPs["ctr-net"] != "10.199.7.10" || !reflect.DeepEqual(got.Spec, spec) {
		t.Errorf("again:\n got %+v\nwant %+v", got.Spec, spec)
	}
	if err := e.RenameContainer(t.Context(), id, c.Name); !errors.Is(err, ErrConflict) {
		t.Errorf("rename to a taken name: %v, want ErrConflict", err)
	}
	until(t, "ready for signals", func() bool { return strings.Contains(e.logs(t, id, LogOptions{}), "NAME=") })
	must(t, e.KillContainer(t.Context(), id, "TERM"))
	until(t, "down", func() bool { return !e.inspect(t, id).Running })
	if err := e.KillContainer(t.Context(), id, ""); !errors.Is(err, ErrConflict) {
		t.Errorf("kill what is down: %v, want ErrConflict", err)
	}
	must(t, e.RemoveContainer(t.Context(), id, true))
}

// The least rights a proxy can work with.
func TestLeastRights(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		m := newImage(t, "rights/app:v1", "rights")
		e.load(t, m)
		must(t, e.EnsureVolume(ctx, "rights-data", map[string]string{"l": "v"}))
		must(t, e.EnsureVolume(ctx, "rights-data", map[string]string{"l": "v"}))
		id := e.create(t, ContainerSpec{
			Name: "rights", Image: m.tag, Cmd: []string{"probe"}, Network: "host",
			Mounts: []Mount{{Type: "volume", Source: "rights-data", Target: "/data"}}, Tmpfs: map[string]string{"/run": "size=1m,mode=755"},
			CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}, SecurityOpt: []string{"no-new-privileges"}, ReadOnlyRoot: true,
			Healthcheck: &Healthcheck{Test: []string{"NONE"}},
		})
		must(t, e.StartContainer(ctx, id))
		status, err := e.WaitContainer(ctx, id)
		must(t, err)
		c := e.inspect(t, id)
		if status != 7 || c.ExitCode != 7 || c.State != "exited" || c.Health != "" || c.Spec.Network != "host" || c.Spec.Hostname != "" {
			t.Errorf("status %d, %+v", status, c)
		}
		const want = "write / read-only\nwrite /run/ yes\nwrite /data/ yes\nport 80 yes\nchown denied\nCapBnd: 0000000000000400\nNoNewPrivs: 1\n"
		got := e.logs(t, id, LogOptions{})
		lines := slices.Sorted(strings.Lines(got))
		if !slices.Equal(lines, slices.Sorted(strings.Lines(want))) {
			t.Errorf("the container says %q, want %q", got, want)
		}
		if err := e.RemoveVolume(ctx, "rights-data"); !errors.Is(err, ErrConflict) {
			t.Errorf("remove a volume in use: %v, want ErrConflict", err)
		}
		must(t, e.RemoveContainer(ctx, id, false))
		must(t, e.RemoveVolume(ctx, "rights-data"))
		if err := e.RemoveVolume(ctx, "rights-data"); !errors.Is(err, ErrNotFound) {
			t.Errorf("remove no volume: %v, want ErrNotFound", err)
		}
	})
}

// Without a subnet the engine chooses one, and before 29 takes no fixed addresses then.
func TestNetworkWithoutSubnet(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		m := newImage(t, "free/app:v1", "free")
		e.load(t, m)
		must(t, e.CreateNetwork(ctx, "free-net", "", nil))
		t.Cleanup(func() { must(t, e.RemoveNetwork(context.Background(), "free-net")) })
		n, err := e.InspectNetwork(ctx, "free-net")
		must(t, err)
		if len(n.Subnets) != 1 || len(n.Gateways) != 1 {
			t.Fatalf("%+v", n)
		}
		subnet, err := netip.ParsePrefix(n.Subnets[0])
		must(t, err)
		addr := subnet.Addr().Next().Next().Next()
		id, err := e.CreateContainer(ctx, ContainerSpec{Name: "free", Image: m.tag, Network: "free-net", IP: addr.String()})
		if err == nil {
			err = e.StartContainer(ctx, id)
			must(t, e.RemoveContainer(ctx, id, true))
		}
		if refused := err != nil && strings.Contains(err.Error(), "subnet"); refused != (e.api <= 51) {
			t.Errorf("fixed address: %v", err)
		}
	})
}
