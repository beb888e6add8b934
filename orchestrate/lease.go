package orchestrate

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed lease.sh
var leaseScript string

// Owner says who holds a lease. It is shown to people, and lets a run on the same machine see that its predecessor is dead.
type Owner struct {
	Who     string    `json:"who"`     // user@machine
	Machine string    `json:"machine"` // identifies machine and boot
	PID     int       `json:"pid"`
	Message string    `json:"message"`       // what for: "deploy v2"
	URL     string    `json:"url,omitempty"` // of the CI run
	Since   time.Time `json:"since"`
}

// Lease is the lock of an app on one host: it has an owner and ends by itself.
type Lease struct {
	ID      string        `json:"id"`
	Owner   Owner         `json:"owner"`
	Expires time.Duration `json:"expires_ns"` // left to live, by the host's clock
}

func (l Lease) String() string {
	s := fmt.Sprintf("%s (pid %d) since %s", l.Owner.Who, l.Owner.PID, l.Owner.Since.UTC().Format("2006-01-02 15:04:05Z"))
	if l.Owner.Message != "" {
		s += ": " + l.Owner.Message
	}
	if l.Owner.URL != "" {
		s += " " + l.Owner.URL
	}
	return s + fmt.Sprintf("; ends in %s unless renewed", l.Expires.Round(time.Second))
}

// Leases tells who holds the app on each host; nil where nobody does. Errors are per host, joined.
func Leases(ctx context.Context, app App, hosts []Host) ([]*Lease, error) {
	out := make([]*Lease, len(hosts))
	l := &Lock{app: app}
	err := eachHost(hosts, func(i int, h Host) error {
		a, err := l.call(ctx, h, "status", 0, 0, "")
		out[i] = a.held
		return onHost(h.Name, "lock status", err)
	})
	return out, err
}

// BreakLock releases the lease of the app on every host, whoever holds it.
func BreakLock(ctx context.Context, app App, hosts []Host) error {
	l := &Lock{app: app}
	return eachHost(hosts, func(_ int, h Host) error {
		a, err := l.call(ctx, h, "status", 0, 0, "")
		if err == nil && a.held != nil {
			_, err = l.call(ctx, h, "release", 0, 0, a.held.ID)
		}
		return onHost(h.Name, "unlock", err)
	})
}

// leaseAnswer is what lease.sh printed.
type leaseAnswer struct {
	ok    bool
	fence int64
	held  *Lease
}

func (l *Lock) call(ctx context.Context, h Host, act string, ttl time.Duration, fence int64, steal string) (leaseAnswer, error) {
	owner, err := json.Marshal(l.opt.Owner)
	if err != nil {
		return leaseAnswer{}, err
	}
	// The script takes the directory as $1; the head of the script finds it, and puts it there.
	script := stateDir + `set -- "$state/$1" "$2" "$3" "$4" "$5" "$6"` + "\n" + leaseScript
	args := []string{l.app.Name(), act, l.id, strconv.Itoa(int(ttl.Seconds())), strconv.FormatInt(fence, 10), steal}
	out, err := h.Shell.Script(ctx, script, args, strings.NewReader(string(owner)+"\n"))
	if err != nil {
		return leaseAnswer{}, err
	}
	return parseLease(string(out))
}

// parseLease reads "ok FENCE", "free FENCE" or "held SECONDS ID" followed by the owner as JSON.
func parseLease(out string) (leaseAnswer, error) {
	first, rest, _ := strings.Cut(out, "\n")
	f := strings.Fields(first)
	if len(f) < 2 {
		return leaseAnswer{}, fmt.Errorf("unexpected answer %.80q", out)
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	switch {
	case err != nil:
		return leaseAnswer{}, fmt.Errorf("unexpected answer %.80q", out)
	case f[0] == "ok" || f[0] == "free":
		return leaseAnswer{ok: f[0] == "ok", fence: n}, nil
	case f[0] == "held" && len(f) == 3:
		lease := &Lease{ID: f[2], Expires: time.Duration(n) * time.Second}
		if err := json.Unmarshal([]byte(rest), &lease.Owner); err != nil {
			lease.Owner = Owner{Who: "somebody unknown"}
		}
		return leaseAnswer{held: lease}, nil
	}
	return leaseAnswer{}, fmt.Errorf("unexpected answer %.80q", out)
}
