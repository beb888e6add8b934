package main

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// ConfigCmd prints the configuration as ship understands it: merged, interpolated, with defaults. Secrets are named,
// never shown.
type ConfigCmd struct{}

// Run is the command.
func (c *ConfigCmd) Run(d *deps) error {
	t, err := d.loadTarget()
	if err != nil {
		return err
	}
	if d.JSON {
		d.result(struct {
			Config any `json:"config"`
		}{t.conf.Document()})
		return nil
	}
	text, err := yaml.Marshal(t.conf.Document())
	if err != nil {
		return err
	}
	d.printf("%s\n", strings.TrimRight(string(text), "\n"))
	return nil
}
