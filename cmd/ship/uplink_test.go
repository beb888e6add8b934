package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"ship/internal/event"
)

func TestUplink(t *testing.T) {
	for _, tc := range []struct {
		name string
		sent []int64 // one second apart
		want string
	}{
		{"a line of 10 MB/s", []int64{1e6, 11e6, 21e6, 31e6}, "10000000\n"},
		{"too little", []int64{1e6, 2e6}, ""},
		{"it waits in between", []int64{1e6, 5e6, 25e6, 26e6, 26e6}, "20000000\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "uplink")
			synctest.Test(t, func(t *testing.T) {
				told := 0
				u := &uplink{file: file, next: func(event.Event) { told++ }}
				for _, n := range tc.sent {
					u.emit(event.Event{Type: event.Total, Uplink: n})
					time.Sleep(time.Second)
				}
				u.keep()
				if told != len(tc.sent) {
					t.Errorf("%d events passed on, want %d", told, len(tc.sent))
				}
			})
			if b, _ := os.ReadFile(file); string(b) != tc.want {
				t.Errorf("%q, want %q", b, tc.want)
			}
		})
	}
}
