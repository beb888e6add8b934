package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	nameColumns  = 24 // of a host's name at most
	phaseColumns = 8
)

// frame are the live lines: one a host and a total, cut to the size of the terminal.
func (b *board) frame(now time.Time, columns, rows int) []string {
	if len(b.order) == 0 {
		return nil
	}
	names := 5
	for _, h := range b.order {
		names = max(names, min(nameColumns, width(h.name)))
	}
	shown := b.order
	room := max(1, rows-3) // the total, the cursor's own line, and one for what is above
	if len(shown) > room {
		shown = b.busiest(room)
	}
	var all []string
	for _, h := range shown {
		all = append(all, h.line(names, now))
	}
	if hidden := len(b.order) - len(shown); hidden > 0 {
		all[len(all)-1] = fmt.Sprintf("... and %d more", hidden+1)
	}
	if len(b.order) > 1 {
		all = append(all, b.total(names))
	}
	for i := range all {
		all[i] = fit(defuse(strings.TrimRight(all[i], " ")), max(1, columns-1)) // the last column makes some terminals wrap
	}
	return all
}

// busiest are those n hosts that entered their phase last, in their usual order.
func (b *board) busiest(n int) []*host {
	last := slices.SortedStableFunc(slices.Values(b.order), func(x, y *host) int { return y.since.Compare(x.since) })[:n]
	return slices.DeleteFunc(slices.Clone(b.order), func(h *host) bool { return !slices.Contains(last, h) })
}

func (h *host) line(names int, now time.Time) string {
	s := pad(fit(h.name, names), names) + "  " + pad(fit(h.phase, phaseColumns), phaseColumns) + "  "
	p := h.now()
	if p == nil || p.total <= 0 && p.done <= 0 {
		return s + Duration(now.Sub(h.since))
	}
	h.rate.sample(p.done, now)
	return s + amount(p.done, p.total, &h.rate) + timeLeft(h.rate.left(p.done, p.total))
}

// amount is "12.3 MB / 40.0 MB   30%   4.1 MB/s".
func amount(done, total int64, r *rate) string {
	if total <= 0 {
		return fmt.Sprintf("%9s%s", Bytes(done), speed(r))
	}
	s := fmt.Sprintf("%9s / %-9s %3d%%", Bytes(done), Bytes(total), percent(done, total))
	if done >= total {
		return s
	}
	return s + speed(r)
}

func timeLeft(d time.Duration, ok bool) string {
	if !ok {
		return ""
	}
	text := Duration(d.Round(time.Second))
	return "   " + strings.Replace(text, ".0s", "s", 1) + " left" // nobody knows it to a tenth
}

func speed(r *rate) string {
	if !r.known {
		return ""
	}
	return fmt.Sprintf("   %10s", Rate(r.value))
}

func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(max(0, min(100, float64(done)/float64(total)*100)))
}

// total adds up the bytes of the phase that most hosts are in, or counts the phases.
func (b *board) total(names int) string {
	var phases []string
	count := make(map[string]int)
	for _, h := range b.order {
		if count[h.phase] == 0 {
			phases = append(phases, h.phase)
		}
		count[h.phase]++
	}
	var best string
	for _, p := range phases {
		if moving := b.moving(p); moving > 0 && moving > b.moving(best) {
			best = p
		}
	}
	s := pad("total", names) + "  "
	if best == "" {
		for i, p := range phases {
			phases[i] = fmt.Sprintf("%d %s", count[p], p)
		}
		return s + strings.Join(phases, ", ")
	}
	return s + pad(fit(best, phaseColumns), phaseColumns) + "  " + b.sum(best)
}

// sum adds up what all hosts have of a phase.
func (b *board) sum(phase string) string {
	sum, all, longest, known := progress{}, rate{}, time.Duration(0), true
	for _, h := range b.order {
		p := h.bytes[phase]
		if p == nil {
			continue
		}
		sum.done += p.done
		sum.total += p.total
		if h.phase == phase && p.done < p.total {
			all.value += h.rate.value
			all.known = all.known || h.rate.known
			left, ok := h.rate.left(p.done, p.total)
			longest, known = max(longest, left), known && ok // all is done when the slowest is
		}
	}
	return amount(sum.done, sum.total, &all) + timeLeft(longest, known)
}

// moving is how many hosts are in the phase and have bytes to go.
func (b *board) moving(phase string) int {
	n := 0
	for _, h := range b.order {
		if p := h.now(); h.phase == phase && p != nil && p.done < p.total {
			n++
		}
	}
	return n
}
