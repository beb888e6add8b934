package config

import (
	"slices"
	"time"
)

// App is what a ship.yaml asks for, with all defaults filled in.
type App struct {
	Service     string
	Destination string // "" if there is only one
	Image       string // a source as in containers-transports(5); its meaning is for package layers to say
	Roles       []Role // in the file's order, at least one
	SSH         SSH
	Proxy       ProxyRun
	Boot        Boot
	Transfer    Transfer
	Retain      int      // releases that a host keeps, the running one included; at least 1
	SecretFiles []string // where secrets are looked up after the environment; the first file that knows a name wins
	Files       []string // the files that were read, the destination's last
	Origins     []Origin // where each value was written, in order
}

// Origin is the place of one value.
type Origin struct {
	Path   string // servers.web.hosts[0]
	File   string
	Line   int
	Column int
}

// Role is a set of hosts that run the same container, one each.
type Role struct {
	Name          string
	Hosts         []string // as ssh takes them: user@name:port or an alias; unique, in order
	Replicas      int      // containers on each host, at least 1
	Cmd           []string // nil: the image's own
	Proxy         *Proxy   // nil: no requests reach it through the proxy
	Env           Env      // the root's, with the role's over it
	Healthcheck   *Healthcheck
	DeployTimeout time.Duration // for the new container to become healthy, proxied or not
	StopTimeout   time.Duration // between SIGTERM and SIGKILL
	Volumes       []string      // each is accepted by ParseVolume
	Labels        map[string]string
}

// Proxy is how requests reach the containers of a role.
type Proxy struct {
	Hosts           []string // names in the Host header, lower case, "*.example.com" allowed; none: every name
	AppPort         int      // port of the app in its container
	PathPrefix      string   // "/" or "/api"
	StripPathPrefix bool     // the app does not see the prefix
	Probe           Probe
	DrainTimeout    time.Duration // for requests in flight on the old container
	DeployTimeout   time.Duration // for the new container to become healthy
	ResponseTimeout time.Duration // for the app to begin its answer
	MaxRequestBody  int64         // bytes; 0 = no limit
	Allow           []string      // networks or addresses of clients that may come; none: all
	CanonicalHost   string        // one of Hosts, to which requests for the others are redirected; "" = none are
	Speaks          string        // "http", or "h2c": HTTP/2 without TLS, for gRPC
	Compress        bool          // answers, for clients that take it
	Sticky          bool          // clients stay with the replica that they met first
	RateLimit       *RateLimit    // of each client; nil: none
	BasicAuth       *BasicAuth    // who may come; nil: everybody
	TLS             *TLS          // nil: requests come by http alone
	TrustedProxies  []string      // networks ("10.0.0.0/8") or addresses in front of the proxy, whose forwarding headers count

	Redirects map[string]string // from a path to another one, or to an address

	ErrorPages string // path of a folder on this machine with pages for the proxy's own errors; "" = none
}

// BasicAuth is the one user that may come, and the name of the secret that is the password.
type BasicAuth struct {
	User, Password string
}

// RateLimit is how many requests a client may make.
type RateLimit struct {
	Requests int
	Per      time.Duration // a second, a minute or an hour
	Burst    int           // at once; 0 = those of one second
}

// TLS is how requests come by https.
type TLS struct {
	ACME        *ACME         // who issues the certificate; nil: it is Certificate
	Certificate string        // path of the certificate with its chain (PEM) on this machine
	PrivateKey  string        // name of a secret if [TLS.KeyIsSecret], else a path on this machine
	Redirect    bool          // requests by http are sent to https
	HSTS        time.Duration // for how long browsers shall insist on https; 0 = not said
	ClientCA    string        // path of the certificates (PEM) that vouch for clients, on this machine; "" = clients need none
}

// ACME is a certificate authority that issues certificates over the network (RFC 8555).
type ACME struct {
	Directory string // URL; "" = Let's Encrypt
	CA        string // path of the certificates (PEM) that vouch for the directory's own https; "" = the host's
	Email     string // whom the authority may write to; "" = nobody
	KeyID     string // of the external account that it wants; "" = none
	HMACKey   string // name of the secret that is the external account's key
}

// Probe is the request by which the proxy tells a healthy container from another.
type Probe struct {
	Type      string   // "http"; "tcp": to take a connection is enough then; or "grpc"
	Service   string   // that the app's gRPC health service is asked for; "" = the app as a whole
	Status    []string // of a healthy container, "200" or "200-299"; none: 2xx
	Path      string   // "" unless Type is "http"
	Host      string   // Host header; "" = the proxy's choice
	Interval  time.Duration
	Timeout   time.Duration
	Successes int // in a row, for a new container
	Failures  int // in a row, until one that serves gets no more requests
}

// Healthcheck is a command that the engine runs in the container.
type Healthcheck struct {
	Test     []string // in the engine's form: "CMD" and the words, or "CMD-SHELL" and one text
	Interval time.Duration
	Timeout  time.Duration
	Retries  int
}

// ProxyRun is how the proxy itself runs on each host.
type ProxyRun struct {
	HTTPPort    int
	HTTPSPort   int     // only listened on where a role has TLS
	MetricsAddr string  // ip:port; "" = nowhere
	LogPercent  float64 // of the requests that are in the access log, 0 to 100; those that failed always are
}

// SSH is how hosts are reached, where neither the host's spelling nor ssh_config says otherwise.
type SSH struct {
	User     string // "" = not said
	Port     int    // 0 = not said
	Jump     string
	Config   string            // path of the ssh_config, "" = the usual files, "none" = none
	Keys     []string          // paths of private keys
	HostKeys map[string]string // host as written in servers -> "ssh-ed25519 AAAA..."
}

// Env is an environment: values that stand in the file, and names of secrets.
type Env struct {
	Clear  map[string]string
	Secret []SecretRef // sorted by name
}

// SecretRef says that the variable Name gets the secret called Source.
type SecretRef struct {
	Name, Source string
}

// Boot says how many hosts are switched at a time.
type Boot struct {
	Limit   int           // hosts; 0 = not said in hosts
	Percent int           // of the hosts, 1 to 100; 0 = not said in percent
	Wait    time.Duration // between two groups
	Watch   time.Duration // after the last one: containers that die by then take the whole fleet back; 0 = not watched
}

// GroupSize is how many of this many hosts are switched at a time: at least one, all if there is no limit.
func (b Boot) GroupSize(hosts int) int {
	n := hosts
	switch {
	case b.Limit > 0:
		n = b.Limit
	case b.Percent > 0:
		n = hosts * b.Percent / 100
	}
	return max(1, min(n, hosts))
}

// Hosts are the hosts of all roles, each once, in the file's order.
func (a *App) Hosts() []string {
	var all []string
	for _, r := range a.Roles {
		for _, h := range r.Hosts {
			if !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}
