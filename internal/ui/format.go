package ui

import (
	"fmt"
	"math"
	"time"
)

// Bytes is a number of bytes for people: "999 B", "12.3 MB" (of 1000).
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.95 && unit < len("kMGTPE")-1 {
		f /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTPE"[unit])
}

// Rate is bytes a second for people: "12.3 MB/s".
func Rate(bytesPerSecond float64) string {
	if !(bytesPerSecond >= 0) || bytesPerSecond > math.MaxInt64/2 { // also NaN
		return "- B/s"
	}
	return Bytes(int64(bytesPerSecond)) + "/s"
}

// Duration is a time for people: "0.4s", "12s", "3m05s", "2h10m".
func Duration(d time.Duration) string {
	s := d.Round(time.Second)
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case s < time.Minute:
		return fmt.Sprintf("%ds", s/time.Second)
	case s < time.Hour:
		return fmt.Sprintf("%dm%02ds", s/time.Minute, s%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", s/time.Hour, s%time.Hour/time.Minute)
}
