package main

import (
	"context"
	"fmt"

	"ship/config"
	"ship/internal/sshx"
	"ship/internal/ui"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer"
)

// PushCmd sends an image to hosts. It needs no configuration; of one that is there only `transfer:` counts.
type PushCmd struct {
	Source string   `arg:"" help:"docker-daemon:REF (or just REF), docker-archive:FILE[:REF], oci-archive:FILE[:REF], oci:DIR[:REF], bundle:FILE, ssh://HOST/REF."`
	To     []string `arg:"" name:"host" help:"Hosts, as ssh takes them: user@name:port or an alias."`
	Tag    string   `short:"t" placeholder:"REF" help:"Name of the image on the hosts (default: the source's)."`
	DryRun bool     `name:"dry-run" help:"Only show who would send what to whom."`
}

// pushResult is the result of push --json.
type pushResult struct {
	Tag   string           `json:"tag"`
	Hosts []pushHostResult `json:"hosts"`
	Bytes int64            `json:"bytes"` // sent to all hosts together
}

type pushHostResult struct {
	Host    string `json:"host"`
	ImageID string `json:"image_id"`
	Sent    int    `json:"layers_sent"`
	Held    int    `json:"layers_held"`
	Bytes   int64  `json:"bytes"`
	Error   string `json:"error,omitempty"`
}

// Run is the command.
func (c *PushCmd) Run(ctx context.Context, d *deps) error {
	settings, err := d.namedTransfer()
	if err != nil {
		return err
	}
	src, ref, closeSource, err := d.openSource(ctx, c.Source)
	if err != nil {
		return err
	}
	defer closeSource()
	tag, err := c.tag(ctx, src, ref)
	if err != nil {
		return err
	}
	o := d.sshOptions()
	o.Limit = d.limit(settings.BWLimit)
	return d.send(ctx, src, tag, unique(c.To), o, settings, c.DryRun)
}

// send pushes to hosts and tells what became of it.
func (d *deps) send(ctx context.Context, src layers.Source, tag string, names []string, so sshx.Options, settings config.Transfer, dry bool, sources ...transfer.Host) error {
	f, err := d.connect(ctx, names, so)
	if err != nil {
		return err
	}
	defer f.Close()
	o, closeSpool, err := d.transfer(settings)
	if err != nil {
		return err
	}
	defer closeSpool()
	o.Tag, o.Sources = tag, sources
	hosts := make([]transfer.Host, len(f.Hosts))
	for i, h := range f.Hosts {
		h.Group = groupOf(settings, h.Name)
		hosts[i] = orchestrate.TransferHost(h)
	}
	if dry {
		f, err := transfer.Survey(ctx, hosts, src, o)
		if err != nil {
			return err
		}
		return d.printForecast(f)
	}
	results, err := transfer.Push(ctx, hosts, src, o)
	d.printPush(tag, results)
	return err
}

// tag is what the image is called on the hosts.
func (c *PushCmd) tag(ctx context.Context, src layers.Source, ref layers.Ref) (string, error) {
	name := c.Tag
	if name == "" {
		name = ref.Name
	}
	if name == "" {
		img, err := src.Image(ctx, src.Platforms()[0])
		if err != nil {
			return "", &usageError{err, ""}
		}
		name = img.Ref
	}
	if name == "" {
		return "", usagef("name it with --tag shop:v1", "%s does not say what the image is called", c.Source)
	}
	tag, err := layers.NormalizeRef(name)
	if err != nil {
		return "", &usageError{err, ""}
	}
	return tag, nil
}

func (d *deps) printPush(tag string, results []transfer.Result) {
	out := pushResult{Tag: tag}
	rows := [][]string{{"HOST", "LAYERS HELD", "SENT", "BYTES", "IMAGE"}}
	for _, r := range results {
		h := pushHostResult{Host: r.Host, ImageID: r.ImageID, Sent: r.Sent, Held: r.Held, Bytes: r.Bytes}
		state := layers.Digest(r.ImageID).Short()
		if r.Err != nil {
			h.Error, state = r.Err.Error(), "failed"
		}
		out.Hosts, out.Bytes = append(out.Hosts, h), out.Bytes+r.Bytes
		rows = append(rows, []string{r.Host, fmt.Sprint(r.Held), fmt.Sprint(r.Sent), ui.Bytes(r.Bytes), state})
	}
	if d.JSON {
		d.result(out)
		return
	}
	d.table(rows)
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
