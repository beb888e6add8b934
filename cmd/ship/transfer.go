package main

import (
	"fmt"
	"path/filepath"

	"ship/config"
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
