package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// buildVersion is set by the linker: -X main.buildVersion=v1.2.3.
var buildVersion string

// version of this program: the linker's word, else what the toolchain knows of the checkout.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" {
				return "dev-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "dev"
}

// VersionCmd prints the version.
type VersionCmd struct{}

// Run is the command.
func (c *VersionCmd) Run(d *deps) error {
	if d.JSON {
		d.result(struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			OS      string `json:"os"`
			Arch    string `json:"arch"`
		}{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
		return nil
	}
	d.printf("%s\n", fmt.Sprintf("ship %s %s/%s %s", version(), runtime.GOOS, runtime.GOARCH, runtime.Version()))
	return nil
}
