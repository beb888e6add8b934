package main

import (
	"context"

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
	Image   *transfer.Forecast  `json:"image,omitempty"`
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
		if res.Image, err = s.forecast(ctx, p); err != nil {
			return err
		}
	}
	if d.JSON {
		d.result(res)
	} else if err := d.printPlan(res); err != nil {
		return err
	}
	if c.Detailed && p.Changes() {
		return errChanges
	}
	return nil
}

func (d *deps) printPlan(res planResult) error {
	if len(res.Steps) == 0 {
		d.printf("%s serves on every host already: nothing to do\n", res.Release)
		return nil
	}
	rows := [][]string{{"HOST", "STEP", "WHAT", "WHY"}}
	for _, s := range res.Steps {
		rows = append(rows, []string{s.Host, s.Act, s.What, s.Cause})
	}
	d.table(rows)
	if res.Image == nil {
		return nil
	}
	d.printf("\n")
	return d.printForecast(*res.Image)
}

// forecast tells how the image would get to the hosts that are to be sent it; nil if there are none.
func (s *session) forecast(ctx context.Context, p orchestrate.Plan) (*transfer.Forecast, error) {
	var hosts []transfer.Host
	for i, hp := range p.Hosts {
		if hp.Ship != "" {
			hosts = append(hosts, orchestrate.TransferHost(s.fleet.Hosts[i]))
		}
	}
	if len(hosts) == 0 {
		return nil, nil
	}
	o, closeSpool, err := s.transfer(s.target.conf.Transfer)
	if err != nil {
		return nil, err
	}
	defer closeSpool()
	o.Tag = p.Desired.App.ImageRef(p.Desired.Release)
	f, err := transfer.Survey(ctx, hosts, s.source, o)
	return &f, err
}
