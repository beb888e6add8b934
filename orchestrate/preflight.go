package orchestrate

import (
	"fmt"
	"slices"
)

// preflight says what would make the run fail on this host.
func preflight(want Desired, o Observed, hp HostPlan) (refusals []error) {
	if !atLeast(o.Info.ServerVersion, 20, 10) {
		refusals = append(refusals, &RefusedError{"the engine is Docker " + o.Info.ServerVersion, "ship needs Docker 20.10 or newer"})
	}
	if o.Proxy.Err != nil && !o.Proxy.Unfinished { // it may have just ended, and its successor serve under another name
		refusals = append(refusals, &RefusedError{fmt.Sprintf("the proxy runs but does not answer: %v", o.Proxy.Err), "see `ship proxy logs`; `ship proxy upgrade` replaces it"})
	}
	if o.Proxy.Exists && o.Proxy.Port != 0 && o.Proxy.Port != want.HTTPPort && hp.proxied() {
		refusals = append(refusals, &RefusedError{fmt.Sprintf("the proxy listens on port %d, proxy.run.http_port says %d", o.Proxy.Port, want.HTTPPort),
			"all apps of a host share its proxy: use its port, or `ship proxy upgrade` to move it"})
	}
	if (hp.Proxy == ProxyBoot || hp.Proxy == ProxyStart) && slices.Contains(o.Listening, want.HTTPPort) {
		refusals = append(refusals, &RefusedError{fmt.Sprintf("port %d is taken: the proxy cannot listen on it", want.HTTPPort),
			fmt.Sprintf("see who listens with `ss -ltnp 'sport = :%d'`, or set proxy.run.http_port", want.HTTPPort)})
	}
	if o.Proxy.Exists && o.Proxy.HTTPSPort != want.HTTPSPort && hp.https() {
		what := fmt.Sprintf("the proxy has port %d for https, proxy.run.https_port says %d", o.Proxy.HTTPSPort, want.HTTPSPort)
		if o.Proxy.HTTPSPort == 0 {
			what = "the proxy is of a version without https"
		}
		refusals = append(refusals, &RefusedError{what, "`ship proxy upgrade` replaces it without a gap"})
	}
	if s := conflict(o, hp); s != "" {
		refusals = append(refusals, &RefusedError{s, "give one of them another proxy.host or proxy.path_prefix"})
	}
	return refusals
}

// conflict names a service of the host's proxy that already has a route which the plan wants.
func conflict(o Observed, hp HostPlan) string {
	for _, u := range hp.Units {
		s := u.Settings.Service
		if s == nil {
			continue
		}
		for _, other := range o.Proxy.Status.Services {
			if other.Name == s.Name {
				continue
			}
			if route, ok := s.Conflicts(other.Service); ok {
				return fmt.Sprintf("%s is served by %s already", route, other.Name)
			}
		}
		for _, v := range hp.Units {
			if t := v.Settings.Service; t != nil && v.Role < u.Role {
				if route, ok := s.Conflicts(*t); ok {
					return fmt.Sprintf("roles %s and %s both want %s", v.Role, u.Role, route)
				}
			}
		}
	}
	return ""
}

// atLeast compares a version "28.5.2+dfsg4" with major.minor. What cannot be read is taken as new enough.
func atLeast(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n < 2 {
		return true
	}
	return a > major || a == major && b >= minor
}

// twins refuses a machine that goes by two names: each would stop what the other starts.
func twins(found []Observed) (refusals []error) {
	first := map[string]string{}
	for _, o := range found {
		if other, ok := first[o.Info.ID]; ok && o.Info.ID != "" {
			refusals = append(refusals, &HostError{Host: o.Host, Step: "preflight", Err: &RefusedError{
				Cause: "it is the same machine as " + other, Help: "give all roles of a machine the same name for it"}})
			continue
		}
		first[o.Info.ID] = o.Host
	}
	return refusals
}
