package ui

import (
	"io"
	"testing"

	"ship/internal/event"
)

// BenchmarkEmit is what an event costs the one who emits it.
func BenchmarkEmit(b *testing.B) {
	for name, o := range map[string]Options{"tty": {Mode: TTY}, "plain": {Mode: Plain}, "json": {JSON: true}} {
		b.Run(name, func(b *testing.B) {
			o.Out, o.Err = io.Discard, io.Discard
			u := New(o)
			e := event.Event{Type: event.Progress, Host: "web-1", Phase: "send", Total: 1 << 40}
			b.ReportAllocs()
			for b.Loop() {
				e.Done++
				u.Emit(e)
			}
			if err := u.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
