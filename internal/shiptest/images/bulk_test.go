//go:build linux

package images

import "testing"

func TestBulkChangesOnlyWhatItSays(t *testing.T) {
	image := func(s BulkStep) *Image {
		img, err := MakeBulk(t.Context(), Bulk{Ref: "bulk:x", Step: s, Quick: true})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	first, app, deps, again := image(""), image(AppChanged), image(DepsChanged), image("")
	if first.Unpacked < 150e6 || first.ID != again.ID {
		t.Errorf("%d bytes; %s and %s", first.Unpacked, first.ID, again.ID)
	}
	top := len(first.DiffIDs) - 1
	for i, id := range first.DiffIDs {
		if (app.DiffIDs[i] != id) != (i == top) {
			t.Errorf("app changed: layer %d", i)
		}
		if (deps.DiffIDs[i] != id) != (i == top-1) {
			t.Errorf("deps changed: layer %d", i)
		}
	}
}
