package docker

import "time"

// The shapes of containers in the Engine API, for both directions. Field names are the wire's.

type createAPI struct {
	Hostname         string              `json:",omitempty"`
	User             string              `json:",omitempty"`
	Env              []string            `json:",omitempty"`
	Cmd              []string            `json:",omitempty"`
	Entrypoint       []string            `json:",omitempty"`
	Image            string              `json:",omitempty"`
	Labels           map[string]string   `json:",omitempty"`
	ExposedPorts     map[string]struct{} `json:",omitempty"`
	Healthcheck      *healthcheckAPI     `json:",omitempty"`
	StopSignal       string              `json:",omitempty"`
	StopTimeout      *int                `json:",omitempty"`
	HostConfig       hostConfigAPI
	NetworkingConfig *networkingAPI `json:",omitempty"`
}

type hostConfigAPI struct {
	NetworkMode    string               `json:",omitempty"`
	RestartPolicy  restartAPI           `json:",omitzero"`
	Binds          []string             `json:",omitempty"` // read only: what other tools made
	Mounts         []mountAPI           `json:",omitempty"`
	Tmpfs          map[string]string    `json:",omitempty"`
	PortBindings   map[string][]portAPI `json:",omitempty"`
	ExtraHosts     []string             `json:",omitempty"`
	LogConfig      *logAPI              `json:",omitempty"`
	Init           *bool                `json:",omitempty"`
	CapAdd         []string             `json:",omitempty"`
	CapDrop        []string             `json:",omitempty"`
	SecurityOpt    []string             `json:",omitempty"`
	ReadonlyRootfs bool                 `json:",omitempty"`
}

type restartAPI struct {
	Name              string
	MaximumRetryCount int
}

type mountAPI struct {
	Type     string
	Source   string `json:",omitempty"`
	Target   string
	ReadOnly bool `json:",omitempty"`
}

type portAPI struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

type logAPI struct {
	Type   string
	Config map[string]string `json:",omitempty"`
}

type networkingAPI struct {
	EndpointsConfig map[string]endpointAPI
}

type endpointAPI struct {
	IPAMConfig *ipamAPI `json:",omitempty"`
	Aliases    []string `json:",omitempty"`
	// only in answers
	IPAddress         string `json:",omitempty"`
	GlobalIPv6Address string `json:",omitempty"`
}

// address is the one in use or, while the container is down, the fixed one it will have.
func (e endpointAPI) address() string {
	switch {
	case e.IPAddress != "":
		return e.IPAddress
	case e.IPAMConfig != nil && e.IPAMConfig.IPv4Address != "":
		return e.IPAMConfig.IPv4Address
	case e.GlobalIPv6Address != "":
		return e.GlobalIPv6Address
	}
	return e.fixed()
}

// fixed is the address asked for when the container was created.
func (e endpointAPI) fixed() string {
	if e.IPAMConfig == nil {
		return ""
	}
	if e.IPAMConfig.IPv4Address != "" {
		return e.IPAMConfig.IPv4Address
	}
	return e.IPAMConfig.IPv6Address
}

type ipamAPI struct {
	IPv4Address string `json:",omitempty"`
	IPv6Address string `json:",omitempty"`
}

type healthcheckAPI struct {
	Test        []string      `json:",omitempty"`
	Interval    time.Duration `json:",omitempty"` // nanoseconds
	Timeout     time.Duration `json:",omitempty"`
	StartPeriod time.Duration `json:",omitempty"`
	Retries     int           `json:",omitempty"`
}

func (h *healthcheckAPI) active() bool {
	return h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
}

func (h *healthcheckAPI) public() *Healthcheck {
	if h == nil {
		return nil
	}
	return &Healthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
}

func (h *Healthcheck) api() *healthcheckAPI {
	if h == nil {
		return nil
	}
	return &healthcheckAPI{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
}
