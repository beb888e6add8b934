package orchestrate

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"ship/internal/event"
	"ship/proxy"
)

// SetErrorPages has a role served with pages of its own for the proxy's errors, by their status. A release's settings name them
// by their hashes.
func (d *Desired) SetErrorPages(role string, pages map[int][]byte) {
	if d.ErrorPages == nil {
		d.ErrorPages = map[string][]byte{}
	}
	named := map[string]string{}
	for status, page := range pages {
		hash := proxy.PageHash(page)
		named[strconv.Itoa(status)], d.ErrorPages[hash] = hash, page
	}
	d.eachService(role, func(s *proxy.Service) { s.ErrorPages = named })
}

// givePages gives the host's proxy the error pages that it lacks, before it is told of a release that names them. Those of a
// stored release may be gone from here and there: that must not keep it from serving.
func (r *run) givePages(ctx context.Context, h Host, hp HostPlan) error {
	for _, u := range hp.Units {
		if !u.Switch || len(u.Settings.Service.ErrorPages) == 0 { // once for all replicas
			continue
		}
		var hashes []string
		for _, status := range sortedKeys(u.Settings.Service.ErrorPages) {
			hashes = append(hashes, u.Settings.Service.ErrorPages[status])
		}
		slices.Sort(hashes)
		lacks, err := h.Proxy.LacksErrorPages(ctx, slices.Compact(hashes))
		if err != nil {
			return fmt.Errorf("error pages of %s: %w", u.Role, err)
		}
		gone := 0
		for _, hash := range lacks {
			page, ok := r.plan.Desired.ErrorPages[hash]
			if !ok {
				gone++
				continue
			}
			if err := h.Proxy.GiveErrorPage(ctx, page); err != nil {
				return fmt.Errorf("error pages of %s: %w", u.Role, err)
			}
		}
		if gone > 0 {
			r.say(event.Warning, h.Name, "error pages", fmt.Sprintf("the proxy has not kept %d of the error pages of %s, %s: its own words take their place", gone, u.Role, u.Release))
		}
	}
	return nil
}
