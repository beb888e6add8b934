package ui

import (
	"fmt"
	"time"

	"ship/internal/event"
)

// Plain mode tells about progress each tenth of the way, though not more often than each second, and each ten seconds.
// With many hosts each of them is told of more seldom, and of bytes that stand still ever more seldom.
const (
	plainStep  = 10 // percent
	plainLeast = time.Second
	plainMost  = 10 * time.Second
	plainHosts = 5 // hosts, beyond which the times above grow with their number
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

// due are the lines about progress for which it is time; last = there is no other time.
func (b *board) due(now time.Time, last bool) []string {
	var all []string
	rarer := max(1, len(b.order)/plainHosts)
	for _, h := range b.order {
		if h.isDue(now, rarer) {
			all = append(all, defuse(h.plain(now)))
		}
	}
	if b.sums.isDue(now, last) {
		all = append(all, defuse(b.plain(now)))
	}
	return all
}

// isDue takes in how much is done by now, and says whether it is time to tell.
func (h *host) isDue(now time.Time, rarer int) bool {
	p := h.now()
	if p == nil || p.total <= 0 && p.done <= 0 {
		return false
	}
	h.rate.sample(p.done, now)
	percent, last := percent(p.done, p.total), h.logged
	if last.at.IsZero() {
		last.at = h.since
	}
	idle, _ := h.idle(now)
	waited := now.Sub(last.at) / time.Duration(rarer)
	step := percent/plainStep > last.percent/plainStep && (waited >= plainLeast || percent == 100)
	slow := waited >= max(plainMost, idle/2) && (p.total <= 0 || p.done < p.total)
	if !step && !slow {
		return false
	}
	h.logged = mark{now, percent}
	return true
}

// plain is "web-1: send 4.0 MB of 40.0 MB (10%), 4.0 MB/s, 9s left".
func (h *host) plain(now time.Time) string {
	p := h.now()
	s := h.name + ": " + h.phase + " " + plainAmount(p.done, p.total)
	if idle, word := h.idle(now); idle > 0 {
		return s + ", " + word + " " + wholeSeconds(idle)
	}
	left, ok := h.rate.left(p.done, p.total)
	return s + plainPace(p.done, p.total, &h.rate, left, ok)
}

// plain is the line about all hosts together.
func (b *board) plain(now time.Time) string {
	b.sums.logged, b.sums.told = now, b.sums.text()
	s := "total: "
	if phase := b.main(); phase != "" {
		w := b.all(phase, now)
		s += phase + " " + plainAmount(w.done, w.total) + plainPace(w.done, w.total, &w.rate, w.left, w.known) + "; "
	}
	return s + b.sums.told
}

// isDue says whether it is time to tell where the bytes came from.
func (s *sums) isDue(now time.Time, last bool) bool {
	if !s.known || s.text() == s.told {
		return false
	}
	if s.logged.IsZero() {
		s.logged = now // not at once: nothing has happened yet
	}
	return last || now.Sub(s.logged) >= plainMost
}

func plainAmount(done, total int64) string {
	if total <= 0 {
		return Bytes(done)
	}
	return fmt.Sprintf("%s of %s (%d%%)", Bytes(done), Bytes(total), percent(done, total))
}

func plainPace(done, total int64, r *rate, left time.Duration, ok bool) string {
	if !r.known || total > 0 && done >= total {
		return ""
	}
	s := ", " + Rate(r.value)
	if ok {
		s += ", " + wholeSeconds(left) + " left"
	}
	return s
}
