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

// widths of the parts of a line about bytes.
const (
	amountColumns = len("123.4 MB / 123.4 MB  ")
	speedColumns  = len("    123.4 MB/s")
	leftColumns   = len("   12m34s left")
)

// detail is how much of a line about bytes there is room for. It depends on the size of the terminal only, so that
// lines do not change their shape while numbers change.
type detail struct{ amount, speed bool }

func detailFor(names, columns int) detail {
	room := columns - 1 - (names + 2 + phaseColumns + 2 + len(" 100%") + leftColumns)
	return detail{amount: room >= amountColumns+speedColumns, speed: room >= speedColumns}
}

// frame are the live lines: one a host, a total and where the bytes came from, cut to the size of the terminal.
func (b *board) frame(now time.Time, columns, rows int) []string {
	if len(b.order) == 0 {
		return nil
	}
	names := 5
	for _, h := range b.order {
		names = max(names, min(nameColumns, width(h.name)))
	}
	var below []string
	d := detailFor(names, columns)
	for _, h := range b.order {
		if p := h.now(); p != nil {
			h.rate.sample(p.done, now)
		}
	}
	if len(b.order) > 1 {
		below = append(below, b.total(names, d, now))
	}
	if b.sums.known && rows >= 5 {
		below = append(below, pad("", min(names+2, max(0, columns-len(widestSums))))+b.sums.text())
	}
	shown := b.order
	room := max(1, rows-2-len(below)) // the cursor's own line, and one for what is above
	if len(shown) > room {
		shown = b.busiest(room)
	}
	var all []string
	for _, h := range shown {
		all = append(all, h.line(names, d, now))
	}
	if hidden := len(b.order) - len(shown); hidden > 0 {
		all[len(all)-1] = fmt.Sprintf("... and %d more", hidden+1)
	}
	all = append(all, below...)
	for i := range all {
		all[i] = fit(defuse(strings.TrimRight(all[i], " ")), max(1, columns-1)) // the last column makes some terminals wrap
	}
	return all
}

// busiest are n hosts: those with bytes to come, then those that entered their phase last; in their usual order.
func (b *board) busiest(n int) []*host {
	last := slices.SortedStableFunc(slices.Values(b.order), func(x, y *host) int {
		if x.busy() != y.busy() {
			return map[bool]int{true: -1, false: 1}[x.busy()]
		}
		return y.since.Compare(x.since)
	})[:n]
	return slices.DeleteFunc(slices.Clone(b.order), func(h *host) bool { return !slices.Contains(last, h) })
}

func (h *host) line(names int, d detail, now time.Time) string {
	s := pad(fit(h.name, names), names) + "  " + pad(fit(h.phase, phaseColumns), phaseColumns) + "  "
	p := h.now()
	if p == nil || p.total <= 0 && p.done <= 0 {
		return s + Duration(now.Sub(h.since))
	}
	s += d.text(p.done, p.total)
	if idle, word := h.idle(now); idle > 0 {
		return s + stall(idle, word)
	}
	return s + d.pace(p.done, p.total, &h.rate) + timeLeft(h.rate.left(p.done, p.total))
}

// text is "12.3 MB / 40.0 MB   30%", or a part of it.
func (d detail) text(done, total int64) string {
	switch {
	case total <= 0:
		return fmt.Sprintf("%9s", Bytes(done))
	case !d.amount:
		return fmt.Sprintf("%3d%%", percent(done, total))
	}
	return fmt.Sprintf("%9s / %-9s %3d%%", Bytes(done), Bytes(total), percent(done, total))
}

// pace is "   4.1 MB/s" while there are bytes to come.
func (d detail) pace(done, total int64, r *rate) string {
	if !d.speed || !r.known || total > 0 && done >= total {
		return ""
	}
	return fmt.Sprintf("   %10s", Rate(r.value))
}

func stall(d time.Duration, word string) string { return "   " + word + " " + wholeSeconds(d) }

func timeLeft(d time.Duration, ok bool) string {
	if !ok {
		return ""
	}
	return "   " + wholeSeconds(d) + " left" // nobody knows it to a tenth
}

func wholeSeconds(d time.Duration) string {
	return strings.Replace(Duration(d.Round(time.Second)), ".0s", "s", 1)
}

func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(max(0, min(100, float64(done)/float64(total)*100)))
}
