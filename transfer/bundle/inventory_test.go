package bundle

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ship/layers"
)

func TestInventoryRoundTrip(t *testing.T) {
	img := seedImage(t, amd64, "shop:v1", layer{"a", 10}, layer{"b", 10}, layer{"c", 10})
	v := *inventory(graphHost("h1", amd64, false, img), containerdHost("h2", arm64, img, 0, 2))
	var b bytes.Buffer
	must(t, v.Write(&b))
	again, err := ReadInventory(&b)
	must(t, err)
	if !reflect.DeepEqual(again, v) {
		t.Errorf("read %+v, written %+v", again, v)
	}
}

func TestInventoryRefused(t *testing.T) {
	const host = `{"name":"h1","platform":{"os":"linux","architecture":"amd64"},"engine":"28","store":"graph-driver"}`
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, tc := range map[string]struct{ text, want string }{
		"empty":          {``, "not an inventory"},
		"no JSON":        {`servers: [h1]`, "not an inventory"},
		"other JSON":     {`{"service": "shop"}`, "no version"},
		"newer":          {`{"version": 2, "hosts": []}`, "format 2"},
		"no hosts":       {`{"version": 1, "hosts": []}`, "0 hosts"},
		"no name":        {`{"version": 1, "hosts": [{"store":"containerd"}]}`, "no name"},
		"twice":          {`{"version": 1, "hosts": [` + host + `,` + host + `]}`, "twice"},
		"no platform":    {`{"version": 1, "hosts": [{"name":"h1","store":"containerd"}]}`, "no platform"},
		"foreign store":  {`{"version": 1, "hosts": [` + strings.Replace(host, "graph-driver", "btrfs", 1) + `]}`, "btrfs"},
		"foreign digest": {`{"version": 1, "hosts": [` + strings.Replace(host, `"store"`, `"images":[["`+digest+`","sha256:1"]],"store"`, 1) + `]}`, "sha256:1"},
		"negative blob": {`{"version": 1, "hosts": [` + strings.Replace(host, `"store"`, `"blobs":[{"diff_id":"`+digest+`","digest":"`+digest+`","size":-1}],"store"`, 1) +
			`]}`, "-1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ReadInventory(strings.NewReader(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v, error %v, want one with %q", v, err, tc.want)
			}
		})
	}
	if _, err := ReadInventory(strings.NewReader(`{"version": 1, "x": "later", "hosts": [` + host + `]}`)); err != nil {
		t.Errorf("a key that is not known: %v", err)
	}
}

func TestHeld(t *testing.T) {
	v1 := seedImage(t, amd64, "shop:v1", layer{"a", 10}, layer{"b", 10}, layer{"c", 10})
	v2 := seedImage(t, amd64, "shop:v2", layer{"a", 10}, layer{"b", 10}, layer{"d", 10}, layer{"c", 10})
	for name, tc := range map[string]struct {
		host Host
		want []int // missing of v2
	}{
		"nothing":                          {graphHost("h", amd64, true), []int{0, 1, 2, 3}},
		"a graph driver needs the stack":   {graphHost("h", amd64, true, v1), []int{2, 3}},
		"all":                              {graphHost("h", amd64, true, v1, v2), nil},
		"a containerd store does not":      {containerdHost("h", amd64, v1, 0, 1, 2), []int{2}},
		"a containerd store of upper ones": {containerdHost("h", amd64, v2, 3), []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.host.Held(v2).Missing(v2); !slices.Equal(got, tc.want) {
				t.Errorf("missing %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCompactImages(t *testing.T) {
	id := func(s string) layers.DiffID { return layers.DiffID(layers.DigestOf([]byte(s))) }
	stack := func(s string) (out []layers.DiffID) {
		for _, r := range s {
			out = append(out, id(string(r)))
		}
		return out
	}
	got := CompactImages([][]layers.DiffID{stack("ab"), stack("abc"), nil, stack("a"), stack("abd"), stack("abc"), {"sha256:junk"}, stack("xy")})
	var want [][]layers.DiffID
	for _, s := range []string{"abc", "abd", "xy"} {
		want = append(want, stack(s))
	}
	slices.SortFunc(want, slices.Compare)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
