// Package pebble runs a real ACME server for tests: Pebble, of Let's Encrypt, with a name server of its own.
package pebble

import (
	"context"

	"ship/internal/shiptest/module"
)

// programs are pebble and its name server.
type programs struct{ pebble, names string }

// build makes the programs, the first time on a machine.
func build(ctx context.Context) (p programs, err error) {
	of := module.Program{Module: "github.com/letsencrypt/pebble/v2", Version: "v2.10.1", Package: "./cmd/pebble"}
	if p.pebble, err = module.Build(ctx, of); err != nil {
		return p, err
	}
	of.Package = "./cmd/pebble-challtestsrv"
	p.names, err = module.Build(ctx, of)
	return p, err
}
