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

	mu    sync.Mutex
	since time.Time // of the second under way
	from  int64     // bytes by then
	first int64     // bytes when the first was told
	sent  int64
	best  float64 // bytes a second
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
	now := time.Now()
	if u.since.IsZero() {
		u.since, u.from, u.first = now, e.Uplink, e.Uplink
	}
	u.sent = max(u.sent, e.Uplink)
	if took := now.Sub(u.since); took >= time.Second {
		// The best second counts: in others the line waits for what is compressed, or for a host.
		u.best = max(u.best, float64(e.Uplink-u.from)/took.Seconds())
		u.since, u.from = now, e.Uplink
	}
}

// keep writes down what was learned, if anything.
func (u *uplink) keep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sent-u.first < enoughToMeasure || u.best < 1 {
		return
	}
	_ = os.WriteFile(u.file, []byte(strconv.FormatInt(int64(u.best), 10)+"\n"), 0o600) // only a hint
}
