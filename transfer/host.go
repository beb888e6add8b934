package transfer

import (
	"context"
	"io"

	"ship/internal/docker"
	"ship/layers"
	"ship/transfer/place"
	"ship/transfer/swarm"
)

// Host is one place an image is brought to. The caller opens and closes the link below Engine and Free.
type Host struct {
	Name   string
	Engine Engine
	// Free tells how many bytes can be written below dir on the host. Nil, or an error: disk space is not checked.
	Free func(ctx context.Context, dir string) (int64, error)
	// Remote starts programs on the host. Nil: there is no helper on it.
	Remote Remote
	// Group of hosts that may talk to each other: those of other groups never feed this one.
	Group string
}

// Remote is how programs run on a host, and keys are given there.
type Remote interface {
	swarm.Remote
	// Link numbers the connection to the host: the number grows each time that a lost one was made again.
	Link() uint64
}

// Login is how a host was logged in to.
type Login = swarm.Login

// Binary is a helper program.
type Binary = place.Binary

// Engine is what a push uses of a host's Docker engine; *docker.Client has it all. It must stand several calls at once.
type Engine interface {
	Info(ctx context.Context) (docker.Info, error)
	LoadImage(ctx context.Context, r io.Reader) (docker.LoadResult, error)
	InspectImage(ctx context.Context, ref string) (docker.ImageInfo, error)
	ListImagesNamed(ctx context.Context, pattern string) ([]docker.ImageSummary, error)
	TagImage(ctx context.Context, ref, repo, tag string) error
	RemoveImage(ctx context.Context, ref string) error
	CreateContainer(ctx context.Context, s docker.ContainerSpec) (id string, err error)
	RemoveContainer(ctx context.Context, id string, force bool) error
	ListContent(ctx context.Context) ([]docker.Content, error)
	ReadContent(ctx context.Context, digest string, offset int64) (io.ReadCloser, error)
}

// Holding is what a host answered about one image.
type Holding struct {
	Info     docker.Info
	Held     layers.Held
	Free     int64 // bytes free below the engine's data root; -1 = not known
	Complete bool  // no layer is missing

	tagged string // image ID if the wanted tag names this very image already, whole
	probed string // temporary tag that a successful probe left on the complete image; "" = none
	parts  []string
}
