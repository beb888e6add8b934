package docker

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"ship/internal/plain"
)

// Info is what an engine says of itself and of its host.
type Info struct {
	ID              string // of the engine; kept over restarts
	ServerVersion   string // "28.5.2+dfsg4"
	APIVersion      string // newest version it speaks: "1.51"
	OS, Arch        string // GOOS and GOARCH names: linux, amd64
	Driver          string // of the image store: overlay2, overlayfs, ...
	ContainerdStore bool
	RootDir         string // its data root on the host
	LogDriver       string // what a container logs to unless told otherwise
	Rootless        bool
	Name            string // the host's own name
	CPUs            int
	Memory          int64 // bytes
	Running         int   // containers
}

// Zstd tells whether the engine reads zstd-compressed layers: since 23.0, API 1.42. The API version decides, since
// builds of distributions give themselves all kinds of version names.
func (i Info) Zstd() bool { return apiAtLeast(i.APIVersion, 42) }

// Info asks two questions at once, hence one round trip.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var version struct{ Version, APIVersion, Os, Arch string }
	asked := make(chan error, 1)
	go func() { asked <- c.do(ctx, get("engine version", "/version", nil), &version) }()
	var info struct {
		ID                string
		Driver            string
		DriverStatus      [][]string
		DockerRootDir     string
		LoggingDriver     string
		SecurityOptions   []string
		Name              string
		NCPU              int
		MemTotal          int64
		ContainersRunning int
	}
	err := c.do(ctx, get("engine info", "/info", nil), &info)
	if verr := <-asked; err == nil {
		err = verr
	}
	if err != nil {
		return Info{}, err
	}
	return Info{
		ID:              plain.Line(info.ID, 100),
		ServerVersion:   plain.Line(version.Version, 100),
		APIVersion:      plain.Line(version.APIVersion, 20),
		OS:              plain.Line(version.Os, 40),
		Arch:            plain.Line(version.Arch, 40), // of the engine itself: a 64-bit kernel may run a 32-bit one
		Driver:          plain.Line(info.Driver, 100),
		ContainerdStore: containerdStore(info.DriverStatus),
		RootDir:         info.DockerRootDir,
		LogDriver:       plain.Line(info.LoggingDriver, 100),
		Rootless:        slices.Contains(info.SecurityOptions, "name=rootless"),
		Name:            plain.Line(info.Name, 255),
		CPUs:            info.NCPU,
		Memory:          info.MemTotal,
		Running:         info.ContainersRunning,
	}, nil
}

func containerdStore(status [][]string) bool {
	for _, pair := range status {
		if len(pair) == 2 && pair[0] == "driver-type" && strings.HasPrefix(pair[1], "io.containerd.snapshotter.") {
			return true
		}
	}
	return false
}

// apiAtLeast tells whether version is 1.minor or newer; no if it cannot be read.
func apiAtLeast(version string, minor int) bool {
	major, rest, _ := strings.Cut(version, ".")
	a, err := strconv.Atoi(major)
	if err != nil {
		return false
	}
	b, err := strconv.Atoi(rest)
	return err == nil && (a > 1 || a == 1 && b >= minor)
}
