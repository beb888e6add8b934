package orchestrate

import (
	"context"
	"io"
	"time"

	"ship/internal/docker"
	"ship/proxy"
	"ship/proxy/acme"
	"ship/transfer"
)

// Host is one server as a run sees it. The caller opens and closes the link that its parts share.
type Host struct {
	Name   string
	Shell  Shell
	Engine Engine
	Proxy  Proxy
	Remote transfer.Remote // nil = images go there without a helper
	Group  string          // hosts of other groups never feed this one
}

// Shell runs small POSIX scripts on the host, with the rights that Docker needs there (root, or through sudo, or a
// member of the docker group).
type Shell interface {
	// Script runs text with args as $1, $2 and so on, stdin as its standard input (nil = empty), and returns its standard output.
	// A status other than 0 is an error that carries the end of its standard error.
	Script(ctx context.Context, text string, args []string, stdin io.Reader) ([]byte, error)
}

// Engine is what orchestrate uses of a host's Docker engine.
type Engine interface {
	transfer.Engine
	Info(ctx context.Context) (docker.Info, error)
	InspectImage(ctx context.Context, ref string) (docker.ImageInfo, error)
	ListImages(ctx context.Context) ([]docker.ImageSummary, error)
	RemoveImage(ctx context.Context, ref string) error
	CreateContainer(ctx context.Context, s docker.ContainerSpec) (string, error)
	StartContainer(ctx context.Context, id string) error
	StopContainer(ctx context.Context, id string, timeout time.Duration) error
	RemoveContainer(ctx context.Context, id string, force bool) error
	RenameContainer(ctx context.Context, id, name string) error
	SetRestart(ctx context.Context, id, policy string) error
	InspectContainer(ctx context.Context, id string) (docker.Container, error)
	ListContainers(ctx context.Context, labels map[string]string) ([]docker.ContainerSummary, error)
	Logs(ctx context.Context, id string, o docker.LogOptions) (io.ReadCloser, error)
	InspectNetwork(ctx context.Context, name string) (docker.Network, error)
	CreateNetwork(ctx context.Context, name, subnet string, labels map[string]string) error
	RemoveNetwork(ctx context.Context, name string) error
	EnsureVolume(ctx context.Context, name string, labels map[string]string) error
	RemoveVolume(ctx context.Context, name string) error
}

// Proxy is the control connection to the proxy of one host.
type Proxy interface {
	Prepare(ctx context.Context, r proxy.PrepareRequest, on func(proxy.Attempt)) (token string, err error)
	Certify(ctx context.Context, service string, pair proxy.KeyPair, generation int64) (proxy.Certificate, error)
	LacksErrorPages(ctx context.Context, hashes []string) ([]string, error)
	GiveErrorPage(ctx context.Context, page []byte) error
	Enrol(ctx context.Context, service string, e acme.Enrolment, generation int64) error
	Account(ctx context.Context, service string) (*acme.Enrolment, error)
	Obtain(ctx context.Context, service string) (proxy.Certificate, error)
	Pair(ctx context.Context, service string) (*proxy.KeyPair, error)
	Commit(ctx context.Context, service, token string, generation int64) (proxy.Switched, error)
	Undo(ctx context.Context, service string, generation int64) error
	Drain(ctx context.Context, service, targetID string, timeout time.Duration) (proxy.Drained, error)
	Remove(ctx context.Context, service string, generation int64) error
	Status(ctx context.Context) (proxy.Status, error)
	Halt(ctx context.Context, service string, h proxy.Halt) error
	Resume(ctx context.Context, service string, kind proxy.HaltKind) (was bool, err error)
}

// TransferHost is h as package transfer sees it.
func TransferHost(h Host) transfer.Host {
	return transfer.Host{Name: h.Name, Engine: h.Engine, Remote: h.Remote, Group: h.Group, Free: func(ctx context.Context, dir string) (int64, error) { return freeDisk(ctx, h.Shell, dir) }}
}
