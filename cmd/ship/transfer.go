package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"ship/config"
	"ship/internal/event"
	"ship/layers"
	"ship/transfer"
)

// transfer is how images go to hosts, as the configuration and the flags want it. The caller closes its spool.
func (d *deps) transfer(c config.Transfer) (transfer.Options, func(), error) {
	spool, err := layers.OpenSpool(layers.SpoolOptions{Dir: filepath.Join(d.cacheDir(), "layers"), Emit: d.ui.Emit, KeepStored: c.Delta != string(transfer.DeltaOff)})
	if err != nil {
		return transfer.Options{}, nil, fmt.Errorf("open the layer cache: %w", err)
	}
	line := d.measureUplink()
	o := transfer.Options{Spool: spool, Emit: line.emit, Uplink: line.before, Star: !c.Relay, Delta: transfer.Delta(c.Delta)}
	if c.Helper {
		o.Helpers = d.helpers()
	}
	return o, func() { line.keep(); _ = spool.Close() }, nil
}

// namedTransfer is how an image goes to hosts that were named on the command line: as the configuration says, if one was
// named too or is in this folder. One that was not asked for is left out, with a warning, if it cannot be read.
func (d *deps) namedTransfer() (config.Transfer, error) {
	settings := config.DefaultTransfer()
	found := ""
	if d.ConfigFile == "" {
		var none *config.NotFoundError
		var err error
		if found, err = config.Find("."); errors.As(err, &none) {
			return settings, nil
		}
	}
	conf, err := d.loadConfig()
	switch {
	case err != nil && d.ConfigFile == "":
		d.ui.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf("the transfer settings of %s do not count: %s", found, strings.ReplaceAll(err.Error(), "\n", "; "))})
		return settings, nil
	case err != nil:
		return settings, err
	}
	if found != "" && !reflect.DeepEqual(conf.Transfer, settings) {
		d.ui.Emit(event.Event{Type: event.Message, Text: "transfer settings are those of " + found})
	}
	return conf.Transfer, nil
}

// groupOf is the group of a host, which may be named otherwise than in the configuration: with another user or port it is
// still the same machine, unless the configuration has several of that name.
func groupOf(t config.Transfer, name string) string {
	if g, ok := t.Groups[name]; ok {
		return g
	}
	group := ""
	for n, g := range t.Groups {
		if machine(n) != machine(name) {
			continue
		}
		if group != "" && group != g {
			return ""
		}
		group = g
	}
	return group
}

// machine is a host without user and port.
func machine(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "ssh://"), "/")
	name = name[strings.LastIndexByte(name, '@')+1:]
	if in, _, ok := strings.Cut(strings.TrimPrefix(name, "["), "]"); ok {
		return in // an IPv6 address
	}
	if strings.Count(name, ":") == 1 {
		name, _, _ = strings.Cut(name, ":")
	}
	return name
}
