//go:build !unix

package sshx

import (
	"errors"
	"net"
)

func dialCommand(string) (net.Conn, error) {
	return nil, errors.New("ProxyCommand is not supported on this system")
}
