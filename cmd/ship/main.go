// Command ship deploys container images to people's own servers over SSH.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"ship/internal/sshx"
	"ship/internal/ui"
	"ship/proxy"
	"ship/transfer/place"
)

// CLI is the command line. Each command is one file of this package.
type CLI struct {
	Globals

	Init     InitCmd     `cmd:"" help:"Write a commented ship.yaml to start from."`
	Push     PushCmd     `cmd:"" help:"Send an image to hosts: only the layers they lack."`
	Seed     SeedCmd     `cmd:"" help:"Send an image from one host to others: nothing of it leaves this machine."`
	Plan     PlanCmd     `cmd:"" help:"Show what deploy would do, and why. Changes nothing."`
	Deploy   DeployCmd   `cmd:"" help:"Run a new release on all hosts, or on none."`
	Rollback RollbackCmd `cmd:"" help:"Run an earlier release again."`
	Status   StatusCmd   `cmd:"" help:"Show what runs where."`
	Releases ReleasesCmd `cmd:"" help:"List the releases that the hosts hold."`
	Logs     LogsCmd     `cmd:"" help:"Show the containers' logs of all hosts."`
	Lock     LockCmd     `cmd:"" help:"See, take or break the deploy lock."`
	Prune    PruneCmd    `cmd:"" help:"Remove old containers and images beyond retain."`
	Remove   RemoveCmd   `cmd:"" help:"Remove the app from its hosts: routes and containers."`
	Audit    AuditCmd    `cmd:"" help:"Show who did what on the hosts."`
	Proxy    ProxyCmd    `cmd:"" help:"Look after the proxy on the hosts."`
	Bundle   BundleCmd   `cmd:"" help:"Carry images on a stick to sites without any line."`
	HostsCmd HostsCmd    `cmd:"" name:"hosts" help:"See what hosts hold."` // Hosts is the flag -H
	Doctor   DoctorCmd   `cmd:"" help:"Check this machine and the hosts for what a deploy needs."`
	Config   ConfigCmd   `cmd:"" help:"Print the configuration as ship understands it."`
	Version  VersionCmd  `cmd:"" help:"Print the version."`

	HaltCommands
}

// Globals are the flags of every command.
type Globals struct {
	ConfigFile  string   `short:"c" name:"config-file" env:"SHIP_CONFIG" placeholder:"FILE" help:"Configuration (default: ship.yaml, ship.yml or config/ship.yaml)."`
	Destination string   `short:"d" placeholder:"NAME" help:"Merge ship.NAME.yaml over the configuration."`
	Hosts       []string `short:"H" placeholder:"GLOB" help:"Only these hosts."`
	Roles       []string `short:"r" placeholder:"GLOB" help:"Only these roles."`
	SSHConfig   string   `name:"ssh-config" placeholder:"FILE" help:"ssh_config to use instead of the usual ones."`
	Identity    []string `short:"i" placeholder:"FILE" help:"Private key to log in with."`
	KnownHosts  []string `name:"known-hosts" placeholder:"FILE" help:"known_hosts to check hosts against."`
	BWLimit     rate     `name:"bwlimit" placeholder:"RATE" help:"Send no faster than this to all hosts together: 80mbit, 10MB."`
	JSON        bool     `help:"Print one JSON object a line; the last has type result."`
	Progress    ui.Mode  `default:"auto" placeholder:"auto" help:"How to show progress: auto, tty, plain or none."`
	Color       ui.Color `default:"auto" placeholder:"auto" help:"Colours: auto, always or never."`
	Verbose     bool     `short:"v" help:"Tell more."`
	Quiet       bool     `short:"q" help:"Print results and errors only."`
	Yes         bool     `short:"y" help:"Do not ask."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit code. The first Ctrl-C or SIGTERM cancels, so that all is left in a known state and told;
// the second ends the program at once.
func run(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		first := <-signals
		cancel(&interruptError{first})
		<-signals
		fmt.Fprintln(os.Stderr, "ship: stopped at once; run the command again to clean up")
		os.Exit(interruptCode(first))
	}()

	// What runs inside the proxy's container is no command for people, and must start without parsing anything else.
	if proxy.IsCommand(args) {
		return proxy.Command(ctx, args)
	}
	// On a host that images are sent to, the program goes by another name.
	if strings.HasPrefix(filepath.Base(os.Args[0]), place.Prefix) {
		return runHelper(ctx, args)
	}
	var cli CLI
	parser, err := newParser(&cli)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ship:", err)
		return codeUsage
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		// The flags did not parse, so whether objects are wanted has to be seen from the words themselves.
		return newDeps(Globals{JSON: slices.Contains(args, "--json")}).end(&usageError{err, "see `ship --help`"}, codeUsage)
	}
	d := newDeps(cli.Globals)
	kctx.BindTo(ctx, (*context.Context)(nil))
	err = interrupted(ctx, kctx.Run(d))
	code := exitCode(err)
	return d.end(err, code)
}

func newParser(cli *CLI) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("ship"),
		kong.Description("Deploys container images to your own servers over SSH: no registry, no daemon to install, no dropped request."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

// deps is what the commands work with: flags, environment, screen.
type deps struct {
	Globals
	ui      *ui.UI
	out     io.Writer
	getenv  func(string) string
	last    any           // the result, told at the very end
	limiter *sshx.Limiter // once made; see limit
}

func newDeps(g Globals) *deps {
	if g.Quiet {
		g.Progress = ui.None
	}
	fd := int(os.Stderr.Fd())
	return &deps{Globals: g, out: os.Stdout, getenv: os.Getenv, ui: ui.New(ui.Options{
		Mode: g.Progress, JSON: g.JSON, Color: g.Color, Verbose: g.Verbose, Out: os.Stdout, Err: os.Stderr, Getenv: os.LookupEnv,
		Terminal: term.IsTerminal(fd),
		Size: func() (int, int) {
			w, h, err := term.GetSize(fd)
			if err != nil {
				return 80, 24
			}
			return w, h
		},
	})}
}

// end tells the error, if any, and with --json the result: an object of type result is always the last line.
func (d *deps) end(err error, code int) int {
	if errors.Is(err, errChanges) {
		err = nil
	}
	if err != nil {
		d.ui.Error(err)
	}
	if d.JSON {
		r := finalResult{ExitCode: code, Result: d.last}
		if err != nil {
			r.Error = err.Error()
		}
		d.ui.Result(r)
	}
	if e := d.ui.Close(); e != nil && code == 0 {
		return codeFailed // nobody could read what was said
	}
	return code
}

// finalResult ends the output of every command with --json.
type finalResult struct {
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error,omitempty"`
	Result   any    `json:"result,omitempty"` // the command's own
}

// result keeps a command's result until its end.
func (d *deps) result(v any) { d.last = v }

// printf writes to standard output, below all progress; with --json nothing, for there only objects may stand.
func (d *deps) printf(format string, args ...any) {
	if d.JSON {
		return
	}
	_ = d.ui.Close()                           // its error comes again at the end
	_, _ = fmt.Fprintf(d.out, format, args...) // a reader that went away is told by nobody
}

// table writes rows in columns to standard output, below all progress; with --json nothing.
func (d *deps) table(rows [][]string) {
	if d.JSON {
		return
	}
	_ = d.ui.Close()
	_ = ui.Table(d.out, rows)
}
