package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ship/config"
)

// InitCmd writes a configuration to start from.
type InitCmd struct {
	Service string   `help:"Name of the service (default: this folder's)."`
	Image   string   `help:"Image to deploy (default: docker-daemon:SERVICE)."`
	Host    []string `help:"Hosts of the web role."`
	File    string   `default:"ship.yaml" help:"File to write."`
}

// Run is the command.
func (c *InitCmd) Run(d *deps) error {
	if c.Service == "" {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		c.Service = config.ServiceName(filepath.Base(dir))
	}
	if c.Image == "" {
		c.Image = "docker-daemon:" + c.Service + ":${VERSION:-latest}"
	}
	if len(c.Host) == 0 {
		c.Host = []string{"192.0.2.10"}
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usagef("edit it, or name another with --file", "%s exists already", c.File)
	}
	if err != nil {
		return &usageError{err, ""}
	}
	_, err = f.Write(config.Template(c.Service, c.Image, c.Host))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	d.printf("wrote %s; edit its hosts, then run `ship doctor` and `ship deploy`\n", c.File)
	return nil
}
