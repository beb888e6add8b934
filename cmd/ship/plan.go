package main

import (
	"context"
	"fmt"

	"ship/internal/event"
	"ship/internal/ui"
	"ship/layers"
	"ship/orchestrate"
	"ship/transfer"
)

// PlanCmd shows what deploy would do.
type PlanCmd struct {
	Source   string `arg:"" optional:"" help:"Image to plan for instead of the configuration's."`
	Detailed bool   `name:"detailed-exitcode" help:"Exit with 2 if there are changes."`
}

// planResult is the result of plan --json.
type planResult struct {
	Release orchestrate.Release `json:"release"`
	Steps   []orchestrate.Step  `json:"steps"`
	Image   []planImage         `json:"image,omitempty"`
}

// planImage is what one host lacks of the image.
type planImage struct {
	Host   string `json:"host"`
	Held   int    `json:"layers_held"`
	Lacks  int    `json:"layers_missing"`
	AtMost int64  `json:"bytes_at_most"` // as the source stores them; 0 = not known
}

// Run is the command.
func (c *PlanCmd) Run(ctx context.Context, d *deps) error {
	s, err := d.openSession(ctx, c.Source)
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := s.plan(ctx)
	if err != nil {
		return err
	}
	res := planResult{Release: p.Desired.Release, Steps: p.Steps()}
	if p.Changes() {
		if res.Image, err = s.lacking(ctx, p); err != nil {
			return err
		}
	}
	if d.JSON {
		d.result(res)
	} else {
		d.printPlan(res)
	}
	if c.Detailed && p.Changes() {
		return errChanges
	}
	return nil
}

func (d *deps) printPlan(res planResult) {
	if len(res.Steps) == 0 {
		d.printf("%s serves on every host already: nothing to do\n", res.Release)
		return
	}
	rows := [][]string{{"HOST", "STEP", "WHAT", "WHY"}}
	for _, s := range res.Steps {
		rows = append(rows, []string{s.Host, s.Act, s.What, s.Cause})
	}
	d.table(rows)
	for _, i := range res.Image {
		size := ""
		if i.AtMost > 0 {
			size = ", at most " + ui.Bytes(i.AtMost)
		}
		d.printf("%s holds %d of %d layers; %d to send%s\n", i.Host, i.Held, i.Held+i.Lacks, i.Lacks, size)
	}
}

// lacking asks the hosts that are to be sent the image what they lack of it. On a graph driver this is a probe load,
// which leaves nothing behind.
func (s *session) lacking(ctx context.Context, p orchestrate.Plan) ([]planImage, error) {
	var out []planImage
	for i, hp := range p.Hosts {
		if hp.Ship == "" {
			continue
		}
		h := s.fleet.Hosts[i]
		s.ui.Emit(event.Event{Type: event.Phase, Host: h.Name, Phase: "ask"})
		info, err := h.Engine.Info(ctx)
		if err != nil {
			return nil, &orchestrate.HostError{Host: h.Name, Step: "ask", Err: err}
		}
		img, err := s.source.Image(ctx, layers.Platform{OS: "linux", Arch: info.Arch})
		if err != nil {
			return nil, fmt.Errorf("read image: %w", err)
		}
		holding, err := transfer.Ask(ctx, orchestrate.TransferHost(h), img)
		if err != nil {
			return nil, &orchestrate.HostError{Host: h.Name, Step: "ask", Err: err}
		}
		missing := holding.Held.Missing(img)
		pi := planImage{Host: h.Name, Held: len(img.Layers) - len(missing), Lacks: len(missing)}
		for _, n := range missing {
			if img.Layers[n].Blob.Size < 0 {
				pi.AtMost = 0
				break
			}
			pi.AtMost += img.Layers[n].Blob.Size
		}
		out = append(out, pi)
	}
	return out, nil
}
