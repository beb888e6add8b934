package orchestrate

import (
	"net/netip"
	"testing"
)

func TestPickAddress(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		subnet string
		used   []string
		want   string // "" = none left
	}{
		{"172.18.0.0/16", nil, "172.18.255.254"},
		{"172.18.0.0/16", []string{"172.18.255.254", "172.18.255.253"}, "172.18.255.252"},
		{"10.0.0.0/29", []string{"10.0.0.1", "10.0.0.6", "10.0.0.4"}, "10.0.0.5"},
		{"10.0.0.0/30", []string{"10.0.0.1", "10.0.0.2"}, ""},
	} {
		used := map[netip.Addr]bool{}
		for _, u := range tc.used {
			used[addr(u)] = true
		}
		got, err := pickAddress(netip.MustParsePrefix(tc.subnet), used)
		if tc.want == "" && err == nil || tc.want != "" && (err != nil || got.String() != tc.want) {
			t.Errorf("%s without %v: %v, %v; want %q", tc.subnet, tc.used, got, err, tc.want)
		}
	}
}
