//go:build linux

// Command shiplab runs a lab of real Docker hosts on this machine: see package ship/internal/shiptest/lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"ship/internal/shiptest/lab"
)

// cli is the command line.
type cli struct {
	ID string `default:"lab" env:"SHIPLAB_ID" help:"Which lab; several may run at once."`

	Up            upCmd       `cmd:"" help:"Start N hosts h1..hN and leave them running."`
	Down          downCmd     `cmd:"" help:"Stop everything and remove all traces."`
	Sweep         sweepCmd    `cmd:"" help:"Remove the labs whose owner crashed."`
	List          listCmd     `cmd:"" help:"Name, address, engine and state of the hosts."`
	Exec          execCmd     `cmd:"" help:"Run a command inside a host, not through the network."`
	SSH           sshCmd      `cmd:"" name:"ssh" help:"Run a command through a host's sshd ([USER@]HOST)."`
	Authorize     hostCmd     `cmd:"" help:"Give a host the lab's key: it can then reach the others."`
	Cut           cutCmd      `cmd:"" help:"Drop all packets of a host, or those between it and its peers."`
	Heal          healCmd     `cmd:"" help:"Undo cut; without a host, every cut."`
	Freeze        hostCmd     `cmd:"" help:"All processes hang, the kernel still accepts connections."`
	Thaw          hostCmd     `cmd:"" help:"Undo freeze."`
	Kill          hostCmd     `cmd:"" help:"Power loss: the peers hear nothing, no FIN and no RST."`
	Stop          hostCmd     `cmd:"" help:"Halt in good order."`
	Boot          hostCmd     `cmd:"" help:"Power on again, with the disk as it was."`
	RestartDocker hostCmd     `cmd:"" help:"End dockerd in good order and wait for the next one."`
	Limit         limitCmd    `cmd:"" help:"Bound the rate of a host's or the controller's (ctl) link."`
	Counters      countersCmd `cmd:"" help:"IP bytes that crossed the links; FROM [TO] prints one sum; reset."`
	Engine        engineCmd   `cmd:"" help:"Build the engine of a Debian suite."`
}

func main() {
	lab.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("shiplab"), kong.Description("A lab of real Docker hosts on this machine."), kong.UsageOnError())
	k.BindTo(ctx, (*context.Context)(nil))
	err := k.Run(&c)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	case err != nil:
		fmt.Fprintln(os.Stderr, "shiplab:", err)
		os.Exit(1)
	}
}

// open is the lab that the commands but up speak of.
func (c *cli) open() (*lab.Lab, error) { return lab.Open("", c.ID) }

// host is one of its hosts.
func (c *cli) host(name string) (*lab.Host, error) {
	l, err := c.open()
	if err != nil {
		return nil, err
	}
	if h := l.Host(name); h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("no host %q in lab %s", name, c.ID)
}
