package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"ship/config"
	"ship/internal/docker"
	"ship/internal/event"
	"ship/internal/ui"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer"
	"ship/transfer/bundle"
)

// BundleImportCmd brings a bundle's image to hosts.
type BundleImportCmd struct {
	File   string   `arg:"" help:"The bundle; of one in parts, its name without .001."`
	To     []string `arg:"" optional:"" name:"host" help:"Hosts, as ssh takes them (default: the configuration's; without one, the local engine)."`
	Verify bool     `help:"Only check the file."`
	Tag    string   `short:"t" placeholder:"REF" help:"Name of the image on the hosts (default: the bundle's)."`
}

// importResult is the result of bundle import --verify --json.
type importResult struct {
	File  string `json:"file"`
	Parts int    `json:"parts"`
	bundleSummary
}

// Run is the command.
func (c *BundleImportCmd) Run(ctx context.Context, d *deps) error {
	if c.Verify && (len(c.To) > 0 || c.Tag != "") {
		return usagef("leave out --verify: an import checks the file anyway", "--verify sends nothing, so it takes neither hosts nor a tag")
	}
	f, err := d.openBundle(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := d.verifyBundle(ctx, f); err != nil {
		return err
	}
	if c.Verify {
		res := importResult{c.File, f.Parts(), summaryOf(f.Header, f.Size())}
		d.result(res)
		d.printSummary(res.bundleSummary)
		d.printf("%s is whole (%s)\n", c.File, ui.Bytes(f.Size()))
		return nil
	}
	tag, err := (&PushCmd{Source: c.File, Tag: c.Tag}).tag(ctx, f, layers.Ref{})
	if err != nil {
		return err
	}
	hosts, settings, closeHosts, err := c.hosts(ctx, d)
	if err != nil {
		return err
	}
	defer closeHosts()
	return d.importTo(ctx, f, tag, hosts, settings)
}

// hosts connects to where the image shall go, and says how it goes there.
func (c *BundleImportCmd) hosts(ctx context.Context, d *deps) ([]transfer.Host, config.Transfer, func(), error) {
	var none *config.NotFoundError
	if len(c.To) == 0 && d.ConfigFile == "" {
		if _, err := config.Find("."); errors.As(err, &none) {
			hosts, closeHost, err := d.localHost()
			return hosts, config.DefaultTransfer(), closeHost, err
		}
	}
	f, settings, err := d.connectImport(ctx, unique(c.To))
	if err != nil {
		return nil, settings, nil, err
	}
	hosts := make([]transfer.Host, len(f.Hosts))
	for i, h := range f.Hosts {
		h.Group = groupOf(settings, h.Name)
		hosts[i] = orchestrate.TransferHost(h)
	}
	return hosts, settings, f.Close, nil
}

// connectImport opens links to the hosts that were named, or else to those of the configuration.
func (d *deps) connectImport(ctx context.Context, names []string) (*fleet, config.Transfer, error) {
	if len(names) == 0 {
		t, err := d.loadTarget()
		if err != nil {
			return nil, config.Transfer{}, err
		}
		f, err := d.connectTarget(ctx, t)
		return f, t.conf.Transfer, err
	}
	settings, err := d.namedTransfer()
	if err != nil {
		return nil, settings, err
	}
	o := d.sshOptions()
	o.Limit = d.limit(settings.BWLimit)
	f, err := d.connect(ctx, names, o)
	return f, settings, err
}

// localHost is this machine's engine as a host.
func (d *deps) localHost() ([]transfer.Host, func(), error) {
	dial, err := docker.Local(d.getenv)
	if err != nil {
		return nil, nil, &usageError{err, "name hosts to bring the image to"}
	}
	engine := docker.New(dial)
	return []transfer.Host{{Name: "local engine", Engine: engine}}, engine.Close, nil
}

// importTo pushes to the hosts that hold what the bundle leaves out. The others are refused before anything is sent to
// them, and keep nobody from getting the image.
func (d *deps) importTo(ctx context.Context, f *bundle.File, tag string, hosts []transfer.Host, settings config.Transfer) error {
	o, closeSpool, err := d.transfer(settings)
	if err != nil {
		return err
	}
	defer closeSpool()
	o.Tag = tag
	refused := d.askForLacking(ctx, f, hosts)
	var able []transfer.Host
	var results []transfer.Result
	for i, h := range hosts {
		if refused[i] == nil {
			able = append(able, h)
		} else {
			results = append(results, transfer.Result{Host: h.Name, Err: refused[i]})
		}
	}
	pushed, err := transfer.Push(ctx, able, f, o)
	d.printPush(tag, append(pushed, results...))
	return errors.Join(append(refused, err)...)
}

// askForLacking asks each host whether it holds what the bundle leaves out, and returns an error for those that do not.
// Whatever else is wrong with a host, the push will tell.
func (d *deps) askForLacking(ctx context.Context, f *bundle.File, hosts []transfer.Host) []error {
	refused := make([]error, len(hosts))
	if f.Header.Inventory == nil {
		return refused
	}
	slots := make(chan struct{}, askedAtOnce)
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d.ui.Emit(event.Event{Type: event.Phase, Host: h.Name, Phase: "ask"})
			if cause := lacking(ctx, f, h); cause != "" {
				refused[i] = &transfer.PreflightError{Host: h.Name, Cause: cause, Help: bundle.HintFresh}
			}
		})
	}
	wg.Wait()
	return refused
}

// lacking says what neither the host nor the bundle has; "" = nothing, as far as the host answers.
func lacking(ctx context.Context, f *bundle.File, h transfer.Host) string {
	info, err := patient(ctx, h.Engine.Info)
	if err != nil {
		return ""
	}
	img, err := f.Image(ctx, layers.Platform{OS: info.OS, Arch: info.Arch})
	var none *layers.PlatformError
	if errors.As(err, &none) {
		return fmt.Sprintf("the bundle has %v: the inventory of %s had no such host", err, f.Header.Taken())
	}
	if err != nil {
		return ""
	}
	holding, err := transfer.Ask(ctx, h, img)
	if err != nil {
		return ""
	}
	left := f.Missing(img, holding.Held)
	if len(left) == 0 {
		return ""
	}
	names := make([]string, len(left))
	for i, l := range left {
		names[i] = fmt.Sprintf("layer %d of %d (%s)", l.Number, l.Of, l.Layer.Short())
	}
	return fmt.Sprintf("it lacks %s, and so does the bundle: by the inventory of %s every %s host held that",
		strings.Join(names, ", "), f.Header.Taken(), left[0].Platform)
}
