//go:build linux

package images

import (
	"testing"
)

// TestDebian makes the real image; that it serves is proved where it is deployed.
func TestDebian(t *testing.T) {
	dir := t.TempDir()
	site := func(version string, unhealthy bool) *Image {
		img, err := Debian(t.Context(), dir, Site{Ref: "shop:" + version, Version: version, Unhealthy: unhealthy})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	v1, v2, bad := site("v1", false), site("v2", false), site("v2", true)
	if v1.Unpacked < 100<<20 {
		t.Errorf("%d bytes unpacked, want 100 MB", v1.Unpacked)
	}
	for i := range 2 {
		if v1.DiffIDs[i] != v2.DiffIDs[i] {
			t.Errorf("layer %d differs between versions", i)
		}
	}
	if v1.DiffIDs[2] == v2.DiffIDs[2] || bad.DiffIDs[2] == v2.DiffIDs[2] {
		t.Error("what should differ does not")
	}
	folder := t.TempDir()
	if err := v1.OCILayout(folder); err != nil {
		t.Fatal(err)
	}
}
