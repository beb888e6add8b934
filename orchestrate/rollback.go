package orchestrate

import (
	"fmt"
	"strconv"
	"strings"
)

// Stored is a release that hosts still hold containers of.
type Stored struct {
	Release    Release             `json:"release"`
	Generation int64               `json:"generation"` // of its newest container
	Hosts      map[string][]string `json:"hosts"`      // host -> roles with a container of it
	Serving    map[string]bool     `json:"serving"`    // hosts on which it serves now
}

// Releases lists what the fleet holds, newest first. Containers that were never committed do not count: they are no
// release that ever served.
func Releases(found []Observed) []Stored {
	byID := map[string]*Stored{}
	for _, o := range found {
		for _, d := range o.Deployed {
			if !d.Committed() {
				continue
			}
			s := byID[d.Release.ID]
			if s == nil {
				s = &Stored{Release: d.Release, Hosts: map[string][]string{}, Serving: map[string]bool{}}
				byID[d.Release.ID] = s
			}
			s.Generation = max(s.Generation, d.Generation)
			if !strings.Contains(" "+strings.Join(s.Hosts[o.Host], " ")+" ", " "+d.Role+" ") {
				s.Hosts[o.Host] = append(s.Hosts[o.Host], d.Role)
			}
			if o.Serves(d) {
				s.Serving[o.Host] = true
			}
		}
	}
	out := make([]Stored, 0, len(byID))
	for _, id := range sortedKeys(byID) {
		out = append(out, *byID[id])
	}
	sortStored(out)
	return out
}

// Rollback is the wish to run a stored release again: the one that people call version or that has that ID, or with
// "" the newest that does not serve anywhere. Its containers are made anew from the stored ones, with their image,
// environment and settings, by the same path as a deploy. Roles that takes says no to are left as they are.
func Rollback(app App, version string, found []Observed, takes func(role string) bool) (Desired, error) {
	s, err := pickRelease(version, Releases(found))
	if err != nil {
		return Desired{}, err
	}
	want := Desired{App: app, Release: s.Release, Units: map[string][]Unit{}, Group: len(found)}
	for i := range found {
		o := &found[i]
		for _, role := range rolesServing(o) {
			if !takes(role) {
				continue
			}
			d := newest(o, role, s.Release.ID)
			if d == nil {
				return Desired{}, &RefusedError{
					Cause: fmt.Sprintf("%s holds no container of %s for role %s", o.Host, s.Release, role),
					Help:  "`ship releases` lists what can be rolled back to; `ship deploy` brings any image",
				}
			}
			replicas := len(o.Current(role)) // how many is no matter of the release
			for n := range replicas {
				want.Units[o.Host] = append(want.Units[o.Host], storedUnit(*d, n, replicas))
			}
		}
	}
	return want, nil
}

func pickRelease(version string, all []Stored) (Stored, error) {
	var have []string
	for _, s := range all {
		have = append(have, s.Release.String())
		if version == "" && len(s.Serving) == 0 || version != "" && (version == s.Release.ID || version == s.Release.Version) {
			return s, nil
		}
	}
	cause := "there is no earlier release to roll back to"
	if version != "" {
		cause = fmt.Sprintf("no host holds a release %s", version)
	}
	help := "nothing has been deployed here"
	if len(have) > 0 {
		help = "the hosts hold " + strings.Join(have, ", ")
	}
	return Stored{}, &RefusedError{cause, help}
}

// rolesServing are the roles that the host serves now: those a rollback must not lose.
func rolesServing(o *Observed) []string {
	roles := map[string]bool{}
	for _, d := range o.Deployed {
		if len(o.Current(d.Role)) > 0 {
			roles[d.Role] = true
		}
	}
	return sortedKeys(roles)
}

func newest(o *Observed, role, release string) *Deployed {
	for i := range o.Deployed { // newest generation first
		if d := &o.Deployed[i]; d.Role == role && d.Release.ID == release && d.Committed() {
			return d
		}
	}
	return nil
}

// storedUnit is the wish for another container like d, as one of so many replicas.
func storedUnit(d Deployed, n, of int) Unit {
	spec := d.Spec
	spec.Labels = map[string]string{}
	for k, v := range d.Spec.Labels {
		if !strings.HasPrefix(k, "ship.") {
			spec.Labels[k] = v
		}
	}
	spec.Name, spec.IP, spec.Hostname = "", "", ""
	u := Unit{Role: d.Role, Release: d.Release, Image: d.Image, Spec: spec, Settings: d.Settings, hash: d.Hash}.replica(n, of)
	if n != d.Replica {
		u.hash += "/" + strconv.Itoa(n+1)
	}
	return u
}
