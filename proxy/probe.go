package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Types of health checks.
const (
	CheckHTTP = "http" // a GET; what "" means too
	CheckTCP  = "tcp"  // a connection that is taken
	CheckGRPC = "grpc" // the standard health service, over HTTP/2 without TLS
)

// maxStatuses is how many statuses and ranges of them a check may name.
const maxStatuses = 32

// check refuses settings that contradict each other, or mean nothing.
func (h HealthCheck) check() error {
	switch h.Type {
	case "", CheckHTTP:
	case CheckTCP:
		if len(h.Statuses) > 0 {
			return errors.New("a check over TCP has no status")
		}
	case CheckGRPC:
		if len(h.Statuses) > 0 || len(h.Service) > maxGRPCName {
			return errors.New("a check over gRPC has no status, and a service's name at most 256 bytes")
		}
	default:
		return fmt.Errorf("type %.20q is none of http, tcp and grpc", h.Type)
	}
	if h.Service != "" && h.Type != CheckGRPC {
		return errors.New("only a check over gRPC has a service")
	}
	if len(h.Statuses) > maxStatuses {
		return fmt.Errorf("%d statuses, at most %d are allowed", len(h.Statuses), maxStatuses)
	}
	for _, s := range h.Statuses {
		if _, _, err := parseStatuses(s); err != nil {
			return err
		}
	}
	return nil
}

// parseStatuses reads "200", or a range with both ends in it, as "200-299".
func parseStatuses(s string) (low, high int, err error) {
	from, to, both := strings.Cut(s, "-")
	if !both {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
		return 0, 0, fmt.Errorf("status %.20q: want one from 100 to 599, or a range as 200-299", s)
	}
	return low, high, nil
}

// expects tells whether a healthy target answers with the status.
func (h HealthCheck) expects(status int) bool {
	for _, s := range h.Statuses {
		if low, high, err := parseStatuses(s); err == nil && low <= status && status <= high {
			return true
		}
	}
	return len(h.Statuses) == 0 && status/100 == 2
}

// connect is a check that only wants its connection taken.
func connect(ctx context.Context, t Target, h HealthCheck) Attempt {
	a := Attempt{Time: time.Now().UTC()}
	d := net.Dialer{Timeout: time.Duration(h.Timeout)}
	c, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		a.Error, a.refused = printable(reason(err, time.Since(a.Time)), 200), errors.Is(err, syscall.ECONNREFUSED)
		return a
	}
	_ = c.Close() // it was taken: that is all
	a.Healthy = true
	return a
}
