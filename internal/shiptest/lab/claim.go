//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile serialises the claiming and the removing of labs by all processes of the machine.
const lockFile = "/run/ship-lab.lock"

// lock takes an exclusive lock on a file, made where missing, and returns the function that gives it back.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := until(ctx, func() bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// claim takes an id and a subnet that no other lab has, and makes the switch that shows the machine they are taken.
// The record is written before anything else exists: from then on a crash leaves nothing that [Sweep] does not find.
func claim(ctx context.Context, o Options) (*Lab, error) {
	unlock, err := lock(ctx, lockFile)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := record{ID: o.ID, EngineDir: o.EngineDir, Hosts: o.Hosts, Keep: o.Keep}
	if r.Owner, err = process(os.Getpid()); err != nil {
		return nil, err
	}
	if err := r.choose(o); err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Dir, r.ID)
	if err := os.MkdirAll(filepath.Join(dir, "hosts"), 0o755); err != nil {
		return nil, err
	}
	if err := r.write(dir); err != nil {
		return nil, err
	}
	l, err := r.lab(o.Dir, o.Log)
	if err != nil {
		return nil, err
	}
	if err := l.switchUp(ctx); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// choose fills in the id and the subnet.
func (r *record) choose(o Options) error {
	used, err := usedSubnets(o.Dir)
	if err != nil {
		return err
	}
	overlaps := func(p netip.Prefix) bool {
		for _, u := range used {
			if u.Overlaps(p) {
				return true
			}
		}
		return false
	}
	if o.Subnet != "" {
		if r.Subnet, err = netip.ParsePrefix(o.Subnet); err != nil || r.Subnet.Bits() != 24 || !r.Subnet.Addr().Is4() {
			return fmt.Errorf("lab: subnet %q, want an IPv4 /24", o.Subnet)
		}
		if r.Subnet = r.Subnet.Masked(); overlaps(r.Subnet) {
			return fmt.Errorf("lab: subnet %s is in use on this machine", r.Subnet)
		}
	}
	for n := 0; n < 256 && !r.Subnet.IsValid(); n++ {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(n), 0}), 24); !overlaps(p) {
			r.Subnet = p
		}
	}
	if !r.Subnet.IsValid() {
		return errors.New("lab: no subnet of 10.77.0.0/16 is free")
	}
	if o.ID != "" && taken(o.Dir, o.ID) {
		return fmt.Errorf("lab %s exists already", o.ID)
	}
	for n := 0; r.ID == ""; n++ {
		if id := fmt.Sprintf("lab%d", n); !taken(o.Dir, id) {
			r.ID = id
		}
	}
	return nil
}

func taken(dir, id string) bool {
	if _, err := os.Lstat(filepath.Join(dir, id)); err == nil {
		return true
	}
	_, err := net.InterfaceByName(id + "-ctl")
	return err == nil
}

// usedSubnets are those of the machine's links and of the labs in dir that may have no link yet.
func usedSubnets(dir string) ([]netip.Prefix, error) {
	var used []netip.Prefix
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, p)
		}
	}
	for _, id := range labsIn(dir) {
		if r, err := readRecord(filepath.Join(dir, id)); err == nil {
			used = append(used, r.Subnet)
		}
	}
	return used, nil
}

// labsIn lists the ids of all labs below dir.
func labsIn(dir string) []string {
	var ids []string
	entries, _ := os.ReadDir(dir) // a missing folder has no labs
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// write replaces the record in one step, so that no reader sees half of it.
func (r record) write(labDir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := filepath.Join(labDir, recordFile+".tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(labDir, recordFile))
}

// disown makes the lab one that has no owner: Sweep leaves it alone.
func (l *Lab) disown() error {
	r, err := readRecord(l.dir)
	if err != nil {
		return err
	}
	r.Owner = owner{}
	return r.write(l.dir)
}

// Sweep removes every lab below dir whose owner died. Labs of living processes and those made with Keep stay.
func Sweep(ctx context.Context, dir string) error {
	dir = Dir(dir)
	unlock, err := lock(ctx, lockFile)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	for _, id := range labsIn(dir) {
		r, err := readRecord(filepath.Join(dir, id))
		if err != nil { // claimed by somebody who died before the record was written: nothing else exists
			errs = append(errs, os.RemoveAll(filepath.Join(dir, id)))
			continue
		}
		if r.Owner == (owner{}) || r.Owner.alive() {
			continue
		}
		l, err := r.lab(dir, io.Discard)
		if err == nil {
			err = l.remove()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close stops all hosts and removes every trace of the lab. It takes no context: clean-up must not be cancelled.
func (l *Lab) Close() error {
	ctx, cancel := cleanup()
	defer cancel()
	off := l.each(func(h *Host) error { return h.Kill(ctx) }) // what takes long, before others have to wait
	unlock, err := lock(ctx, lockFile)
	if err != nil {
		return errors.Join(off, err)
	}
	defer unlock()
	return l.remove()
}

// cleanup is the context of what must happen whatever else was cancelled, with a bound of its own.
func cleanup() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// remove works from whatever a crash left: each step takes it that its object may be missing.
func (l *Lab) remove() error {
	ctx, cancel := cleanup()
	defer cancel()
	off := l.each(func(h *Host) error { return h.Kill(ctx) })
	if err := errors.Join(off, l.switchDown(ctx), l.cg.remove(ctx, l.group())); err != nil {
		return fmt.Errorf("remove lab %s: %w", l.ID, err) // the record stays: the next Sweep tries again
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("remove lab %s: %w", l.ID, err)
	}
	_ = os.Remove(filepath.Dir(l.dir)) // the last lab takes the folder with it; not empty is no error
	return nil
}

// group is the name of the lab's cgroup in every hierarchy.
func (l *Lab) group() string { return "ship-lab-" + l.ID }

// IDs lists the labs below dir, running or crashed.
func IDs(dir string) []string {
	var ids []string
	for _, id := range labsIn(Dir(dir)) {
		if !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids
}
