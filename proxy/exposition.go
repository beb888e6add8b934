package proxy

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// exposition writes metrics as Prometheus reads them (text format 0.0.4). It is a page of text with a dozen names: the
// library for it would add more than half a megabyte to the proxy's image, this adds a few kilobytes.
type exposition struct{ b strings.Builder }

// family begins the samples of one name.
func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(&e.b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one value. Labels are names and values in turn.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		e.b.WriteByte("{,"[min(i, 1)])
		e.b.WriteString(labels[i] + `="` + escaper.Replace(printable(labels[i+1], maxName)) + `"`)
	}
	if len(labels) > 1 {
		e.b.WriteByte('}')
	}
	e.b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// escaper is for the values of labels: line breaks are gone by then.
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// expose makes the page. A service that was removed is no longer on it.
func (m *manager) expose(started time.Time, restarts int) string {
	st := m.status()
	e := &exposition{}
	e.family("ship_proxy_build_info", "gauge", "Always 1; the labels say what runs.")
	e.sample("ship_proxy_build_info", 1, "version", m.version, "goversion", runtime.Version())
	e.family("ship_proxy_start_time_seconds", "gauge", "When this process started, in Unix time; counters begin there.")
	e.sample("ship_proxy_start_time_seconds", float64(started.UnixMilli())/1000)
	e.family("ship_proxy_worker_restarts_total", "counter", "How often the process that serves has died and was started again.")
	e.sample("ship_proxy_worker_restarts_total", float64(restarts))
	e.family("ship_proxy_services_broken", "gauge", "Services that do not serve, for their state cannot be read.")
	e.sample("ship_proxy_services_broken", float64(len(st.Bad)))
	names := []string{""}
	for _, s := range st.Services {
		names = append(names, s.Name)
	}
	e.requests(&m.gate.metrics, names)
	e.switches(&m.gate.metrics, names[1:])
	e.targets(st.Services)
	e.certificates(st.Services)
	return e.b.String()
}

func (e *exposition) requests(m *metrics, names []string) {
	e.family("ship_proxy_http_requests_total", "counter", "Requests that have ended; status none: nobody was there to take an answer.")
	for _, name := range names {
		s := m.of(name)
		for i, method := range methodNames {
			for j, class := range classNames {
				if n := s.requests[i][j].Load(); n > 0 {
					e.sample("ship_proxy_http_requests_total", float64(n), "service", name, "method", method, "status", class)
				}
			}
		}
	}
	const duration = "ship_proxy_http_request_duration_seconds"
	e.family(duration, "histogram", "From a request's head to the end of its answer; upgraded connections left out.")
	for _, name := range names {
		s, n := m.of(name), int64(0)
		for i, bound := range bucketBounds {
			n += s.buckets[i].Load()
			e.sample(duration+"_bucket", float64(n), "service", name, "le", strconv.FormatFloat(bound, 'g', -1, 64))
		}
		n += s.buckets[len(bucketBounds)].Load()
		e.sample(duration+"_bucket", float64(n), "service", name, "le", "+Inf")
		e.sample(duration+"_sum", float64(s.micros.Load())/1e6, "service", name)
		e.sample(duration+"_count", float64(n), "service", name)
	}
	e.family("ship_proxy_http_response_bytes_total", "counter", "Bytes of answers' bodies, and of upgraded connections to the client.")
	for _, name := range names {
		e.sample("ship_proxy_http_response_bytes_total", float64(m.of(name).sent.Load()), "service", name)
	}
}

func (e *exposition) switches(m *metrics, names []string) {
	for _, f := range []struct {
		name, help string
		value      func(*serviceMetrics) int64
	}{
		{"ship_proxy_switches_total", "Switches to a new target.", func(s *serviceMetrics) int64 { return s.switches.Load() }},
		{"ship_proxy_undone_total", "Switches that were taken back.", func(s *serviceMetrics) int64 { return s.undone.Load() }},
		{"ship_proxy_drains_total", "Drains of targets that were replaced.", func(s *serviceMetrics) int64 { return s.drains.Load() }},
		{"ship_proxy_drain_cut_requests_total", "Requests that were cut at the end of a drain.", func(s *serviceMetrics) int64 { return s.cut.Load() }},
	} {
		e.family(f.name, "counter", f.help)
		for _, name := range names {
			e.sample(f.name, float64(f.value(m.of(name))), "service", name)
		}
	}
}

func (e *exposition) targets(services []ServiceStatus) {
	e.family("ship_proxy_http_requests_in_flight", "gauge", "Requests that are being answered, draining targets' included.")
	for _, s := range services {
		n := 0
		for _, t := range append(s.Targets(), s.Draining...) {
			n += t.InFlight
		}
		e.sample("ship_proxy_http_requests_in_flight", float64(n), "service", s.Name)
	}
	e.family("ship_proxy_targets_draining", "gauge", "Targets that were replaced, and have requests still.")
	for _, s := range services {
		e.sample("ship_proxy_targets_draining", float64(len(s.Draining)), "service", s.Name)
	}
	for _, state := range []string{"healthy", "ejected"} {
		name := "ship_proxy_target_" + state
		e.family(name, "gauge", "1 while the active target is "+state+".")
		for _, s := range services {
			for _, t := range s.Targets() {
				v := 0.0
				if t.Health == state {
					v = 1
				}
				e.sample(name, v, "service", s.Name, "target", t.Address, "release", t.Release)
			}
		}
	}
}

func (e *exposition) certificates(services []ServiceStatus) {
	const end, failing = "ship_proxy_certificate_not_after_seconds", "ship_proxy_certificate_failing"
	e.family(end, "gauge", "When the certificate ends, in Unix time.")
	for _, s := range services {
		if s.TLSCert != nil && !s.TLSCert.NotAfter.IsZero() {
			e.sample(end, float64(s.TLSCert.NotAfter.Unix()), "service", s.Name)
		}
	}
	e.family(failing, "gauge", "1 while the authority's last answer was no certificate.")
	for _, s := range services {
		if s.ACME != nil {
			v := 0.0
			if s.ACME.Error != "" {
				v = 1
			}
			e.sample(failing, v, "service", s.Name)
		}
	}
}
