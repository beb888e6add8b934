package orchestrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ship/internal/docker"
	"ship/proxy"
)

// Labels that ship puts on containers, images, networks and volumes. They are its only memory of a release.
const (
	LabelService     = "ship.service"
	LabelDestination = "ship.destination"
	LabelRole        = "ship.role"
	LabelReplica     = "ship.replica" // from 2 on; the first has none
	LabelRelease     = "ship.release"
	LabelVersion     = "ship.version"
	LabelGeneration  = "ship.generation"
	LabelAddress     = "ship.address"    // fixed address on the network
	LabelSpec        = "ship.spec"       // hash of all that the unit asks for
	LabelUnit        = "ship.unit"       // JSON of Settings: what a rollback needs beside the container's own spec
	LabelProxy       = "ship.proxy"      // on the proxy's container: its version
	LabelPort        = "ship.port"       // on the proxy's container: the port it listens on
	LabelHTTPSPort   = "ship.https-port" // on the proxy's container: where it listens for https when a service asks for it
	LabelArgs        = "ship.args"       // on the proxy's container: what its command has beside the port
	LabelInstance    = "ship.instance"   // on the proxy's container: what its process calls itself
)

// NetworkName is the bridge network that app containers share on each host.
const NetworkName = "ship"

// App names what is deployed: a service at a destination ("" if there is only one).
type App struct {
	Service, Destination string
}

// Name is what locks, proxy services and container names begin with. The dot stands in no service, destination or role:
// so that no two apps share a name.
func (a App) Name() string {
	if a.Destination == "" {
		return a.Service
	}
	return a.Service + "." + a.Destination
}

// Labels select the containers of the app.
func (a App) Labels() map[string]string {
	return map[string]string{LabelService: a.Service, LabelDestination: a.Destination}
}

// Release is one image with a name for people.
type Release struct {
	ID      string `json:"id"`      // first 12 hex digits of the image's config digest
	Version string `json:"version"` // as people call it, e.g. the image's tag; may equal ID
}

func (r Release) String() string {
	if r.Version == "" || r.Version == r.ID {
		return r.ID
	}
	return r.Version + " (" + r.ID + ")"
}

// ImageRef is the tag under which a host keeps the release's image. One tag per release: an engine 26 with the
// containerd store deletes the old image when its tag moves, and with it the way back.
func (a App) ImageRef(r Release) string { return "ship/" + a.Name() + ":" + r.ID }

// Settings are what a unit asks for beside the container itself; they travel in a label, so that a rollback can
// do to a stored release just what its deploy did.
type Settings struct {
	Service       *proxy.Service `json:"service,omitempty"` // nil: the role is not behind the proxy
	Port          int            `json:"port,omitempty"`    // the app's port in the container
	DeployTimeout Duration       `json:"deploy_timeout"`    // to become healthy
	DrainTimeout  Duration       `json:"drain_timeout"`     // for requests in flight on the old container
	StopTimeout   Duration       `json:"stop_timeout"`      // between SIGTERM and SIGKILL
	Settle        Duration       `json:"settle,omitempty"`  // not proxied, no health check: must run this long
}

// Duration is a time.Duration that reads and writes as text ("30s") in JSON.
type Duration time.Duration

// MarshalText writes "30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Unit is one container that a host should run: the wish. Name, address and generation are the plan's to add.
type Unit struct {
	Role     string
	Replica  int // of the role on its host, from 0
	Release  Release
	Image    string // reference on the host
	Spec     docker.ContainerSpec
	Settings Settings

	hash string // of the stored release that a rollback repeats; "" = computed
}

// name is how people are told of the unit.
func (u Unit) name() string {
	if u.Replica > 0 {
		return fmt.Sprintf("%s (replica %d)", u.Role, u.Replica+1)
	}
	return u.Role
}

// Hash identifies all that the unit asks for: equal hashes need no new container.
func (u Unit) Hash() string {
	if u.hash != "" {
		return u.hash
	}
	b, err := json.Marshal(struct {
		Image    string
		Spec     docker.ContainerSpec
		Settings Settings
	}{u.Image, u.Spec, u.Settings})
	if err != nil { // plain values only: cannot happen, and a hash that never matches is the safe answer
		return err.Error()
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// Deployed is a container of the app that was found on a host.
type Deployed struct {
	docker.Container
	Role       string
	Replica    int // from 0
	Release    Release
	Generation int64
	Hash       string
	Address    string
	Settings   Settings
	Serving    bool // the proxy sends requests to it
	Tally      Tally
}

// Committed says whether its host was ever switched to it.
func (d Deployed) Committed() bool { return d.Serving || d.Spec.Restart != "no" }

// readDeployed makes sense of a container's labels. Labels are foreign bytes: what does not parse is an error,
// and such a container is left alone.
func readDeployed(c docker.Container) (Deployed, error) {
	d := Deployed{Container: c, Role: c.Labels[LabelRole], Hash: c.Labels[LabelSpec], Address: c.Labels[LabelAddress],
		Release: Release{ID: c.Labels[LabelRelease], Version: c.Labels[LabelVersion]}}
	var err error
	if d.Generation, err = strconv.ParseInt(c.Labels[LabelGeneration], 10, 64); err != nil {
		return d, fmt.Errorf("container %s: label %s: %w", c.Name, LabelGeneration, err)
	}
	if n := c.Labels[LabelReplica]; n != "" {
		if d.Replica, err = strconv.Atoi(n); err != nil || d.Replica < 2 {
			return d, fmt.Errorf("container %s: label %s: %q is no replica", c.Name, LabelReplica, n)
		}
		d.Replica--
	}
	if err := json.Unmarshal([]byte(c.Labels[LabelUnit]), &d.Settings); err != nil {
		return d, fmt.Errorf("container %s: label %s: %w", c.Name, LabelUnit, err)
	}
	return d, nil
}

// container is the full spec of a unit's container, ready to be created.
func (a App) container(u Unit, generation int64, address string) (docker.ContainerSpec, error) {
	settings, err := json.Marshal(u.Settings)
	if err != nil {
		return docker.ContainerSpec{}, fmt.Errorf("settings of %s: %w", u.Role, err)
	}
	s := u.Spec
	s.Name = strings.Join([]string{a.Name(), u.Role, u.Release.ID, strconv.FormatInt(generation, 10)}, "-")
	if u.Replica > 0 {
		s.Name += "-r" + strconv.Itoa(u.Replica+1)
	}
	s.Image, s.Network, s.IP, s.Restart = u.Image, NetworkName, address, "no"
	s.Labels = map[string]string{}
	for k, v := range u.Spec.Labels {
		s.Labels[k] = v
	}
	for k, v := range map[string]string{
		LabelService: a.Service, LabelDestination: a.Destination, LabelRole: u.Role,
		LabelRelease: u.Release.ID, LabelVersion: u.Release.Version, LabelGeneration: strconv.FormatInt(generation, 10),
		LabelAddress: address, LabelSpec: u.Hash(), LabelUnit: string(settings),
	} {
		s.Labels[k] = v
	}
	if u.Replica > 0 {
		s.Labels[LabelReplica] = strconv.Itoa(u.Replica + 1)
	}
	return s, nil
}

// sortDeployed puts the newest generation first; the name decides between equals.
func sortDeployed(ds []Deployed) {
	slices.SortFunc(ds, func(a, b Deployed) int {
		return cmp.Or(cmp.Compare(b.Generation, a.Generation), cmp.Compare(a.Name, b.Name))
	})
}

func sortStored(ss []Stored) {
	slices.SortFunc(ss, func(a, b Stored) int {
		return cmp.Or(cmp.Compare(b.Generation, a.Generation), cmp.Compare(a.Release.ID, b.Release.ID))
	})
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
