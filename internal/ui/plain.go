package ui

import (
	"fmt"
	"time"

	"ship/internal/event"
)

// Plain mode tells about progress each tenth of the way, though not more often than each second, and each ten seconds.
const (
	plainStep  = 10 // percent
	plainLeast = time.Second
	plainMost  = 10 * time.Second
)

// mark is what was told about a host's progress last.
type mark struct {
	at      time.Time
	percent int
}

// phaseLine is the line at the beginning of a phase.
func phaseLine(e event.Event) string {
	s := prefix(e.Host) + visible(e.Phase)
	if e.Item != "" {
		s += " " + visible(e.Item)
	}
	if e.Text != "" {
		s += ": " + visible(e.Text)
	}
	return defuse(s)
}

// layerLine is the line about one layer.
func layerLine(e event.Event) string {
	s := prefix(e.Host) + "layer " + visible(e.Item) + " " + visible(e.Text)
	if e.Total > 0 {
		s += " (" + Bytes(e.Total) + ")"
	}
	return defuse(s)
}

// textLines are a message with the host before each line.
func textLines(e event.Event) []string {
	all := lines(e.Text)
	for i := range all {
		all[i] = defuse(prefix(e.Host) + all[i])
	}
	return all
}

func prefix(host string) string {
	if host == "" {
		return ""
	}
	return visible(host) + ": "
}

// due is the line about the host's progress, if it is time for one.
func (h *host) due(now time.Time) (string, bool) {
	p := h.now()
	if p == nil || p.total <= 0 && p.done <= 0 {
		return "", false
	}
	h.rate.sample(p.done, now)
	percent, last := percent(p.done, p.total), h.logged
	if last.at.IsZero() {
		last.at = h.since
	}
	waited := now.Sub(last.at)
	step := percent/plainStep > last.percent/plainStep && waited >= plainLeast
	slow := waited >= plainMost && (p.total <= 0 || p.done < p.total)
	if !step && !slow {
		return "", false
	}
	h.logged = mark{now, percent}
	s := h.name + ": " + h.phase + " " + Bytes(p.done)
	if p.total > 0 {
		s += fmt.Sprintf(" of %s (%d%%)", Bytes(p.total), percent)
	}
	if h.rate.known && p.done < p.total {
		s += ", " + Rate(h.rate.value)
	}
	return defuse(s), true
}
