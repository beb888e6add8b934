package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ship/internal/event"
	"ship/orchestrate"
	"ship/transfer/bundle"
)

// HostsCmd looks at hosts.
type HostsCmd struct {
	Inventory InventoryCmd `cmd:"" help:"Write down what hosts hold, for bundle export."`
}

// InventoryCmd writes down what hosts hold: what their engines are, and the digests of their layers.
type InventoryCmd struct {
	From   []string `arg:"" optional:"" name:"host" help:"Hosts, as ssh takes them (default: the configuration's)."`
	Output string   `short:"o" placeholder:"FILE" help:"Where to write it (default: standard output)."`
}

// inventoryResult is the result of hosts inventory --json.
type inventoryResult struct {
	File      string            `json:"file,omitempty"`
	Hosts     []inventoryHost   `json:"hosts"`
	Inventory *bundle.Inventory `json:"inventory,omitempty"` // the document itself, where no file was asked for
}

type inventoryHost struct {
	Host     string `json:"host"`
	Platform string `json:"platform"`
	Engine   string `json:"engine"`
	Store    string `json:"store"`
	Layers   int    `json:"layers"`
}

// Run is the command.
func (c *InventoryCmd) Run(ctx context.Context, d *deps) error {
	f, err := d.connectNamed(ctx, c.From)
	if err != nil {
		return err
	}
	defer f.Close()
	hosts, err := d.inventory(ctx, f.Hosts)
	if err != nil {
		return err
	}
	inv := bundle.NewInventory(time.Now(), hosts)
	res := inventoryResult{File: c.Output}
	rows := [][]string{{"HOST", "PLATFORM", "DOCKER", "STORE", "LAYERS"}}
	for _, h := range hosts {
		r := inventoryHost{h.Name, h.Platform.String(), h.Engine, h.Store, h.Layers()}
		res.Hosts = append(res.Hosts, r)
		rows = append(rows, []string{r.Host, r.Platform, r.Engine, r.Store, fmt.Sprint(r.Layers)})
	}
	if c.Output == "" {
		return d.printInventory(inv, res)
	}
	if err := inv.WriteFile(c.Output); err != nil {
		return writeError(fmt.Errorf("write inventory: %w", err))
	}
	d.result(res)
	d.table(rows)
	return nil
}

// printInventory writes the document to standard output, or makes it part of the result.
func (d *deps) printInventory(inv bundle.Inventory, res inventoryResult) error {
	res.Inventory = &inv
	d.result(res)
	var doc bytes.Buffer
	if err := inv.Write(&doc); err != nil {
		return err
	}
	d.printf("%s", doc.Bytes())
	return nil
}

// connectNamed opens links to the hosts that were named, or else to those of the configuration.
func (d *deps) connectNamed(ctx context.Context, names []string) (*fleet, error) {
	if len(names) > 0 {
		return d.connect(ctx, unique(names), d.sshOptions())
	}
	t, err := d.loadTarget()
	if err != nil {
		return nil, err
	}
	return d.connectTarget(ctx, t)
}

// askedAtOnce bounds how many hosts answer at a time: each answer may be megabytes.
const askedAtOnce = 8

// inventory asks all hosts what they hold. All have to answer: a host left out by accident would lack its layers.
func (d *deps) inventory(ctx context.Context, hosts []orchestrate.Host) ([]bundle.Host, error) {
	out := make([]bundle.Host, len(hosts))
	errs := make([]error, len(hosts))
	slots := make(chan struct{}, askedAtOnce)
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d.ui.Emit(event.Event{Type: event.Phase, Host: h.Name, Phase: "ask"})
			var err error
			if out[i], err = d.holdings(ctx, h); err != nil {
				errs[i] = &orchestrate.HostError{Host: h.Name, Step: "ask", Err: err}
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// holdings asks one host.
func (d *deps) holdings(ctx context.Context, h orchestrate.Host) (bundle.Host, error) {
	ask := asking{h.Engine}
	info, err := ask.info(ctx)
	if err != nil {
		return bundle.Host{}, err
	}
	out := bundle.Host{Name: h.Name, Platform: bundle.Platform{OS: info.OS, Arch: info.Arch}, Engine: info.ServerVersion,
		Store: bundle.StoreGraph, Zstd: info.Zstd()}
	if !info.ContainerdStore {
		out.Images, err = ask.stacks(ctx)
		return out, err
	}
	out.Store = bundle.StoreContainerd
	blobs, err := ask.blobs(ctx)
	if errors.Is(err, errNoContents) {
		d.ui.Emit(event.Event{Type: event.Warning, Host: h.Name, Phase: "ask", Text: "the engine does not tell what its containerd store holds: a bundle for it leaves nothing out"})
		return out, nil
	}
	out.Blobs = bundle.SortedBlobs(blobs)
	return out, err
}
