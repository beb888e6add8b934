//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// registryAddr is where the controller's registry listens, on its own loopback, and where it appears on the hosts'.
// Engines need no certificate for a registry there.
const registryAddr = "127.0.0.1:5000"

// serveRegistry runs a plain registry that keeps its blobs in the folder, until the context ends.
func serveRegistry(ctx context.Context, l net.Listener, dir string) error {
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0)))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns then
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
