package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"ship/config"
	"ship/internal/docker"
	"ship/internal/sshx"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer"
	"ship/transfer/engine"
)

// SeedCmd sends an image from a host that has it to others.
type SeedCmd struct {
	Image string   `arg:"" help:"The image, as it is called on the host that has it."`
	From  string   `required:"" placeholder:"HOST" help:"The host that has it."`
	To    []string `placeholder:"HOST" help:"Hosts to send it to (default: those of the configuration)."`
	Tag   string   `short:"t" placeholder:"REF" help:"Name of the image on the other hosts (default: the same)."`

	DryRun bool `name:"dry-run" help:"Only show who would send what to whom."`
}

// Run is the command.
func (c *SeedCmd) Run(ctx context.Context, d *deps) error {
	name := c.Tag
	if name == "" {
		name = c.Image
	}
	tag, err := layers.NormalizeRef(name)
	if err != nil {
		return &usageError{err, "name it with --tag shop:v1"}
	}
	names, o, settings := unique(c.To), d.sshOptions(), config.DefaultTransfer()
	if len(names) > 0 {
		if settings, err = d.namedTransfer(); err != nil {
			return err
		}
		o.Limit = d.limit(settings.BWLimit)
	} else {
		t, err := d.loadTarget()
		if err != nil {
			return err
		}
		names, o, settings = t.hosts, d.targetSSH(t), t.conf.Transfer
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == c.From })
	if len(names) == 0 {
		return usagef("name hosts with --to", "there is no host to send to beside %s", c.From)
	}
	src, from, closeSource, err := d.openRemote(ctx, layers.Ref{Transport: layers.TransportSSH, Path: c.From, Name: c.Image}, o)
	if err != nil {
		return err
	}
	defer closeSource()
	from.Group = groupOf(settings, from.Name)
	return d.send(ctx, src, tag, names, o, settings, c.DryRun, from)
}

// openRemote opens an image of a host's engine. The host can be a source of a push, too.
func (d *deps) openRemote(ctx context.Context, ref layers.Ref, o sshx.Options) (layers.Source, transfer.Host, func(), error) {
	var none transfer.Host
	f, err := d.connect(ctx, []string{ref.Path}, o)
	if err != nil {
		return nil, none, nil, err
	}
	host := f.Hosts[0]
	client, ok := host.Engine.(*docker.Client)
	if !ok {
		f.Close()
		return nil, none, nil, fmt.Errorf("%s: its engine cannot be read", ref.Path)
	}
	src, err := layers.Open(ctx, ref, engine.Source(client), layers.OpenOptions{CacheDir: filepath.Join(d.cacheDir(), "layers"), Emit: d.ui.Emit})
	if err != nil {
		f.Close()
		return nil, none, nil, &orchestrate.HostError{Host: ref.Path, Step: "ask", Err: err}
	}
	return src, orchestrate.TransferHost(host), func() { _ = src.Close(); f.Close() }, nil
}
