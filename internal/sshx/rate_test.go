package sshx

import (
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for in, want := range map[string]int64{
		"80mbit": 10e6, "2.5mbit": 312500, "500kbit": 62500, "1gbit": 125e6, "8000bit": 1000, "1Mbit": 125000,
		"10MB": 10e6, "10MB/s": 10e6, "800kB": 800e3, "800KB": 800e3, "1GB": 1e9, "5000B": 5000, " 80 mbit/s ": 10e6, ".5MB": 500e3,
	} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                       "unit is missing",
		"80":                     "unit is missing",
		"fast":                   "units are",
		"mbit":                   "it looks like",
		"1.2.3mbit":              "it looks like",
		"-1mbit":                 "it looks like",
		"1e3mbit":                "it looks like",
		"0x10MB":                 "it looks like",
		"0mbit":                  "least",
		"7kbit":                  "least",
		"10mb":                   "bits or bytes",
		"10Mb":                   "bits or bytes",
		"10MiB":                  "units are",
		"10mbps":                 "units are",
		"99999999999999999999GB": "too much",
		"\x1b[31m1mbit":          "not a bandwidth",
	} {
		got, err := ParseRate(in)
		if err == nil || got != 0 || !strings.Contains(err.Error(), want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q: got %d, %v, want an error with %q", in, got, err, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"80mbit", "2.5mbit", "10MB/s", "1e9GB", "NaNmbit", "Infbit"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseRate(s); err == nil && got < leastRate || err != nil && got != 0 {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	})
}
