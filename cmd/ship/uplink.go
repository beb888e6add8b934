package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ship/internal/event"
)

const (
	// enoughToMeasure in bytes: less says more about buffers than about the line.
	enoughToMeasure = 8 << 20
	// measuredFor so long: a laptop is elsewhere tomorrow.
	measuredFor = 12 * time.Hour
)

// uplink learns from what a run sends how fast this machine's line is, so that the next run can tell whether a patch is
// worth its work.
type uplink struct {
	file   string
	before int64 // bytes a second, of an earlier run; 0 = not known
	next   event.Func

	mu          sync.Mutex
	first, last time.Time
	from, to    int64
}

func (d *deps) measureUplink() *uplink {
	u := &uplink{file: filepath.Join(d.cacheDir(), "uplink"), next: d.ui.Emit}
	if info, err := os.Stat(u.file); err == nil && time.Since(info.ModTime()) < measuredFor {
		b, err := os.ReadFile(u.file)
		if n, perr := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && perr == nil && n > 0 {
			u.before = n
		}
	}
	return u
}

// emit passes events on and looks at the totals among them.
func (u *uplink) emit(e event.Event) {
	u.next.Emit(e)
	if e.Type != event.Total || e.Uplink == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); u.first.IsZero() {
		u.first, u.from = now, e.Uplink
	} else if e.Uplink > u.to {
		u.last, u.to = now, e.Uplink
	}
}

// keep writes down what was learned, if anything.
func (u *uplink) keep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, took := u.to-u.from, u.last.Sub(u.first)
	if n < enoughToMeasure || took <= 0 {
		return
	}
	rate := int64(float64(n) / took.Seconds())
	_ = os.WriteFile(u.file, []byte(strconv.FormatInt(rate, 10)+"\n"), 0o600) // only a hint
}
