//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"ship/internal/shiptest/lab"
)

type upCmd struct {
	N      int      `arg:"" help:"How many hosts."`
	Engine []string `placeholder:"NAME[+c8d]" help:"bookworm, trixie or sid; +c8d is the containerd image store. The i-th is the i-th host's, the last repeats."`
	Disk   string   `help:"Give each host a disk of this size (500M, 2G)."`
	Subnet string   `help:"An IPv4 /24; default: a free one."`
}

func (u *upCmd) Run(ctx context.Context, c *cli) error {
	o := lab.Options{ID: c.ID, Subnet: u.Subnet, Keep: true, Log: os.Stderr}
	for i := range u.N {
		h := lab.HostOptions{Disk: u.Disk}
		if len(u.Engine) > 0 {
			var store string
			h.Engine, store, _ = strings.Cut(u.Engine[min(i, len(u.Engine)-1)], "+")
			if h.ContainerdStore = store == "c8d"; store != "" && store != "c8d" {
				return fmt.Errorf("engine option +%s: want +c8d", store)
			}
		}
		o.Hosts = append(o.Hosts, h)
	}
	_, err := lab.Up(ctx, o)
	return err
}

type downCmd struct{}

func (*downCmd) Run(c *cli) error {
	l, err := c.open()
	if err != nil {
		return err
	}
	return l.Close()
}

type sweepCmd struct{}

func (*sweepCmd) Run(ctx context.Context) error { return lab.Sweep(ctx, "") }

type listCmd struct{}

func (*listCmd) Run(c *cli) error {
	l, err := c.open()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tADDRESS\tENGINE\tSTATE")
	for _, h := range l.Hosts {
		engine := h.Options.Engine
		if h.Options.ContainerdStore {
			engine += "+c8d"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.Name, h.Addr, engine, h.State())
	}
	fmt.Fprintf(w, "\nssh -F %s %s\n", l.SSHConfig(), l.Hosts[0].Name)
	return w.Flush()
}

type execCmd struct {
	Host string   `arg:""`
	Cmd  []string `arg:"" passthrough:""`
}

func (e *execCmd) Run(ctx context.Context, c *cli) error {
	h, err := c.host(e.Host)
	if err != nil {
		return err
	}
	cmd := h.Command(ctx, "/bin/sh", "-c", "cd; "+strings.Join(e.Cmd, " "))
	cmd.SysProcAttr, cmd.Cancel = nil, nil // in the terminal's process group: it may read, and Ctrl-C reaches all of it
	return attached(cmd)
}

type sshCmd struct {
	Host string   `arg:""`
	Cmd  []string `arg:"" optional:"" passthrough:""`
}

func (s *sshCmd) Run(ctx context.Context, c *cli) error {
	l, err := c.open()
	if err != nil {
		return err
	}
	return attached(exec.CommandContext(ctx, "ssh", append([]string{"-F", l.SSHConfig(), s.Host}, s.Cmd...)...))
}

// attached runs a command on this terminal.
func attached(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// hostCmd is every command that does one thing to one host.
type hostCmd struct {
	Host string `arg:""`
}

func (x *hostCmd) Run(ctx context.Context, k *kong.Context, c *cli) error {
	h, err := c.host(x.Host)
	if err != nil {
		return err
	}
	acts := map[string]func(context.Context) error{
		"authorize": h.Authorize, "freeze": h.Freeze, "thaw": h.Thaw, "kill": h.Kill,
		"stop": h.Stop, "boot": h.Boot, "restart-docker": h.RestartDocker,
	}
	return acts[k.Selected().Name](ctx)
}

type cutCmd struct {
	Host  string   `arg:""`
	Peers []string `arg:"" optional:"" help:"Hosts, or ctl for the controller."`
}

func (x *cutCmd) Run(ctx context.Context, c *cli) error {
	h, err := c.host(x.Host)
	if err != nil {
		return err
	}
	return h.Cut(ctx, x.Peers...)
}

type healCmd struct {
	Host  string   `arg:"" optional:""`
	Peers []string `arg:"" optional:""`
}

func (x *healCmd) Run(ctx context.Context, c *cli) error {
	if x.Host == "" {
		l, err := c.open()
		if err != nil {
			return err
		}
		return l.HealAll(ctx)
	}
	h, err := c.host(x.Host)
	if err != nil {
		return err
	}
	return h.Heal(ctx, x.Peers...)
}

type limitCmd struct {
	Host string `arg:"" help:"A host, or ctl for the controller."`
	Off  string `arg:"" optional:"" default:"" enum:"off," help:"The word off takes the limit away."`
	Up   string `placeholder:"RATE" help:"What it may send, as 100mbit."`
	Down string `placeholder:"RATE" help:"What it may receive."`
}

func (x *limitCmd) Run(ctx context.Context, c *cli) error {
	var rates [2]lab.Rate
	for i, s := range []string{x.Up, x.Down} {
		if s == "" || x.Off != "" {
			continue
		}
		r, err := lab.ParseRate(s)
		if err != nil {
			return err
		}
		rates[i] = r
	}
	l, err := c.open()
	if err != nil {
		return err
	}
	if x.Host == lab.Controller {
		return l.Limit(ctx, rates[0], rates[1])
	}
	h, err := c.host(x.Host)
	if err != nil {
		return err
	}
	return h.Limit(ctx, rates[0], rates[1])
}

type countersCmd struct {
	From string `arg:"" optional:"" help:"A host, ctl, or the word reset."`
	To   string `arg:"" optional:""`
}

func (x *countersCmd) Run(ctx context.Context, c *cli) error {
	l, err := c.open()
	if err != nil {
		return err
	}
	switch x.From {
	case "reset":
		return l.ResetCounters(ctx)
	case "":
		all, err := l.Counters(ctx)
		for _, n := range all {
			fmt.Printf("%s\t%s\t%d packets\t%d bytes\n", n.From, n.To, n.Packets, n.Bytes)
		}
		return err
	}
	n, err := l.Sent(ctx, x.From, x.To)
	if err != nil {
		return err
	}
	fmt.Println(n)
	return nil
}

type engineCmd struct {
	Name string `arg:""`
}

func (x *engineCmd) Run(ctx context.Context) error {
	return lab.BuildEngine(ctx, "", x.Name, os.Stderr)
}
