package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"ship/layers"
	"ship/transfer/swarm"
)

func TestPairBases(t *testing.T) {
	img := planImage(layers.Plain, 1, 2, 3, 4) // diff IDs of 1, 2, 3 and 4
	id := func(n int) string { return string(planImage(layers.Plain, make([]int64, n)...).Layers[n-1].DiffID) }
	tests := map[string]struct {
		missing []int
		old     []string
		want    map[int]string
	}{
		"at the same place":           {[]int{1, 2}, []string{id(1), id(8), id(9)}, map[int]string{1: id(8), 2: id(9)}},
		"moved":                       {[]int{2, 3}, []string{id(9), id(4), id(3)}, map[int]string{2: id(3), 3: id(4)}},
		"the old image is shorter":    {[]int{3}, []string{id(1), id(2)}, map[int]string{}},
		"the new image keeps the old": {[]int{1}, []string{id(9), id(3)}, map[int]string{}},
		"nothing is missing":          {nil, []string{id(9)}, map[int]string{}},
		"the host says nonsense":      {[]int{0}, []string{"sha256:zz"}, map[int]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := pairBases(HostPlan{Asked: Asked{Image: img}, Missing: tt.missing}, "shop:v1", tt.old)
			if len(got) != len(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			for i, want := range tt.want {
				if b := got[i]; string(b.diffID) != want || b.image != "shop:v1" {
					t.Errorf("layer %d from %v, want %s", i, b, want)
				}
			}
		})
	}
}

func TestWorthPatch(t *testing.T) {
	for name, tt := range map[string]struct {
		mode   Delta
		size   int64
		uplink int64
		want   bool
	}{
		"a line of 100 Mbit":       {DeltaAuto, 50 * mb, 12 * mb, true},
		"a line not measured":      {DeltaAuto, 50 * mb, 0, true},
		"a line of 10 Gbit":        {DeltaAuto, 50 * mb, 1200 * mb, false},
		"a small layer":            {DeltaAuto, mb, 100_000, false},
		"a small layer, on demand": {DeltaOn, mb, 0, true},
		"a fast line, on demand":   {DeltaOn, 50 * mb, 1200 * mb, true},
		"never":                    {DeltaOff, 5000 * mb, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := worthPatch(tt.mode, layers.Blob{Size: tt.size, Compression: layers.Gzip}, tt.uplink); got != tt.want {
				t.Error(fmt.Sprint(got))
			}
		})
	}
}

// gone is a host whose helper ends while it describes a layer.
type gone struct{}

func (gone) Sign(context.Context, string, string) (io.Reader, error) {
	return nil, fmt.Errorf("%w: it was killed", swarm.ErrGone)
}

// TestPatchSignerGone: a patch is made for many hosts. That the one that describes the base ended is not their end.
func TestPatchSignerGone(t *testing.T) {
	img := imageOf(t, openImage(t, testLayer{name: "signer", size: 3 << 20}))
	p := newPusher(t, "signer:v1")
	a := &attempt{push: newPush(nil, nil, p.opt)}
	x := a.patches.get("signer")
	defer a.patches.close()
	b := base{planImage(layers.Plain, 1).Layers[0].DiffID, "signer:v0"}
	err := a.makePatch(t.Context(), x, gone{}, HostPlan{Asked: Asked{Image: img}}, 0, b)
	if !errors.Is(err, errNoPatch) || errors.Is(err, swarm.ErrGone) {
		t.Errorf("error %v", err)
	}
	if !wholeHelps(err, nil, true) {
		t.Error("the layer is not sent whole")
	}
}

func TestWholeHelps(t *testing.T) {
	ended := fmt.Errorf("%w: it was killed", swarm.ErrGone)
	maker := fmt.Errorf("%w: h2: %w", swarm.ErrMaker, ended)
	for name, tt := range map[string]struct {
		err, own error
		otherWay bool
		want     bool
	}{
		"a patch that was not made":      {errNoPatch, nil, true, true},
		"the signer of a patch ended":    {ended, nil, true, true},
		"the maker ended":                {maker, nil, false, true},
		"a source that changed its mind": {layers.ErrTryAgain, nil, false, true},
		"the layer cannot be read":       {io.ErrUnexpectedEOF, nil, false, false},
		"another host's is refused":      {io.ErrUnexpectedEOF, nil, true, true},
		"no room":                        {swarm.ErrFull, nil, true, false},
		"the own helper ended":           {ended, ended, true, false},
		"both ended":                     {maker, ended, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wholeHelps(tt.err, tt.own, tt.otherWay); got != tt.want {
				t.Error(got)
			}
		})
	}
}
