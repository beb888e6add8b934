package transfer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ship/internal/docker"
	"ship/layers"
)

// planImage is an image of layers of the given sizes: plain, or compressed where z says so. Layer n has a diff ID of
// the digit n, so that plans are readable.
func planImage(z layers.Compression, sizes ...int64) *layers.Image {
	img := &layers.Image{Config: []byte(`{"os":"linux","architecture":"amd64"}`)}
	for n, size := range sizes {
		d := layers.DiffID("sha256:" + strings.Repeat(fmt.Sprintf("%x", n+1), 64))
		img.Layers = append(img.Layers, layers.Layer{DiffID: d, Blob: layers.Blob{Size: size, Compression: z}})
	}
	return img
}

const mb = 1_000_000

func TestPlan(t *testing.T) {
	graph := docker.Info{ServerVersion: "28.5.2", APIVersion: "1.51", RootDir: "/var/lib/docker"}
	old := docker.Info{ServerVersion: "20.10.24", APIVersion: "1.41", RootDir: "/var/lib/docker"}
	store := docker.Info{ServerVersion: "26.1.5", APIVersion: "1.45", ContainerdStore: true, RootDir: "/var/lib/docker"}
	prefix := func(i docker.Info, n int) Holding { return Holding{Info: i, Held: layers.Held{Prefix: n}, Free: -1} }
	blobs := func(img *layers.Image, held ...int) Holding {
		h := Holding{Info: store, Free: -1, Held: layers.Held{ContainerdStore: true, Blobs: map[layers.DiffID]layers.Blob{}}}
		for _, i := range held {
			h.Held.Blobs[img.Layers[i].DiffID] = layers.Blob{}
		}
		return h
	}
	five := planImage(layers.Plain, 100*mb, 100*mb, 20*mb, 1*mb, 1000)
	tests := map[string]struct {
		img  *layers.Image
		held Holding
		want string
	}{
		"first push": {five, prefix(graph, 0), `
h: docker 28.5.2, graph driver: holds 0 of 5 layers, send about 110.5 MB in 3 loads as zstd
  load 1 makes layers 1 to 1: 111111111111
  load 2 makes layers 1 to 2: 222222222222
  load 3 makes layers 1 to 5: 333333333333 444444444444 555555555555
`},
		"old engine": {five, prefix(old, 2), `
h: docker 20.10.24, graph driver: holds 2 of 5 layers, send about 10.5 MB in 1 load as gzip
  load 1 makes layers 1 to 5: 333333333333 444444444444 555555555555
`},
		"last layer only": {five, prefix(graph, 4), `
h: docker 28.5.2, graph driver: holds 4 of 5 layers, send about 500 B in 1 load as zstd
  load 1 makes layers 1 to 5: 555555555555
`},
		"graph driver complete, probed": {five, Holding{Info: graph, Held: layers.Held{Prefix: 5}, Free: -1, probed: "x"}, `
h: docker 28.5.2, graph driver: has the image, only tag it
`},
		"tagged": {five, Holding{Info: graph, Held: layers.Held{}, Free: 0, tagged: "sha256:1"}, `
h: docker 28.5.2, graph driver: has the image, nothing to do
`},
		"store, middle missing": {five, blobs(five, 0, 2, 4), `
h: docker 26.1.5, containerd store: holds 3 of 5 layers, send about 50.5 MB in 1 load as zstd
  load 1 makes layers 1 to 5: 222222222222 444444444444
`},
		"store, two large ones missing": {five, blobs(five, 1, 3, 4), `
h: docker 26.1.5, containerd store: holds 3 of 5 layers, send about 60.0 MB in 2 loads as zstd
  load 1 makes layers 1 to 1: 111111111111
  load 2 makes layers 1 to 5: 333333333333
`},
		"store complete": {five, blobs(five, 0, 1, 2, 3, 4), `
h: docker 26.1.5, containerd store: holds all 5 layers, load the metadata
`},
		"small ones go with a neighbour": {planImage(layers.Gzip, 1000, 9*mb, 1000, 1000, 9*mb, 1000), prefix(graph, 0), `
h: docker 28.5.2, graph driver: holds 0 of 6 layers, send about 18.0 MB in 2 loads as zstd
  load 1 makes layers 1 to 2: 111111111111 222222222222
  load 2 makes layers 1 to 6: 333333333333 444444444444 555555555555 666666666666
`},
		"sizes not known": {planImage(layers.Plain, -1, -1, -1, -1, -1), prefix(graph, 0), `
h: docker 28.5.2, graph driver: holds 0 of 5 layers, send about 0 B in 2 loads as zstd
  load 1 makes layers 1 to 2: 111111111111 222222222222
  load 2 makes layers 1 to 5: 333333333333 444444444444 555555555555
`},
		"disk too small": {five, Holding{Info: graph, Free: 200 * mb}, `
h: docker 28.5.2, graph driver: refused: disk too small: needs about 488.5 MB in /var/lib/docker, 200.0 MB free
`},
		"no layers": {planImage(layers.Plain), prefix(graph, 0), `
h: docker 28.5.2, graph driver: holds all 0 layers, load the metadata
`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := NewPlan([]Asked{{Host: "h", Image: tt.img, Holding: tt.held}}, defaultDiskFactor)
			if got := "\n" + p.String(); got != tt.want {
				t.Errorf("got:%s\nwant:%s", got, tt.want)
			}
		})
	}
}

func TestPlanDiskNeed(t *testing.T) {
	img := planImage(layers.Plain, 100*mb, 50*mb, 20*mb) // sent as 50, 25 and 10
	gz := planImage(layers.Gzip, 100*mb)
	tests := map[string]struct {
		img  *layers.Image
		held layers.Held
		want int64
	}{
		"graph driver: unpacked, two archives at a time": {img, layers.Held{}, 170*mb + 75*mb + 85*mb + helperRoom},
		"graph driver, one layer":                        {img, layers.Held{Prefix: 2}, 20*mb + 2*10*mb + helperRoom},
		"containerd: unpacked, and all blobs":            {img, layers.Held{ContainerdStore: true}, 170*mb + 2*85*mb + helperRoom},
		"nothing is missing":                             {img, layers.Held{Prefix: 3}, 0},
		"compressed source":                              {gz, layers.Held{}, 300*mb + 2*100*mb + helperRoom},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHostPlan(Asked{Image: tt.img, Holding: Holding{Held: tt.held, Free: tt.want}}, 1, smallLoad)
			if h.Need != tt.want || h.Refused != nil {
				t.Errorf("need %d, want %d, refused %v", h.Need, tt.want, h.Refused)
			}
			if tt.want == 0 {
				return
			}
			h.Holding.Free--
			if h.Refused = h.refuse(1); h.Refused == nil {
				t.Error("one byte less is not refused")
			}
			if h.refuse(0) != nil {
				t.Error("refused without a check")
			}
		})
	}
}

func TestLeftovers(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	ours, other := layers.DigestOf([]byte("ours")), layers.DigestOf([]byte("other"))
	at := func(d layers.Digest, age time.Duration) string {
		return run(fmt.Sprintf("%08x%06x", now.Add(-age).Unix(), 7)).tag(d, 3)
	}
	young, mine, stale := at(other, time.Hour), at(ours, 0), at(other, 25*time.Hour)
	strange := []string{"shop:v1", partRepo + ":x", partRepo + ":a-b-zzzzzzzzzzzz", partRepo + ":a-b-1", "<none>:<none>"}
	got := leftovers(append(strange, young, mine, stale), ours, now)
	if want := []string{mine, stale}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestErrors(t *testing.T) {
	refused := &PreflightError{Host: "web-1", Cause: "disk too small", Help: "make room"}
	full := loadFailed(t.Context(), &docker.LoadError{Message: "write /x: no space left on device"}, nil)
	gone := loadFailed(t.Context(), &docker.LoadError{Message: "open /var/lib/docker/tmp/docker-import-1/blobs/sha256/ab: no such file or directory"}, nil)
	wrong := &layers.MismatchError{Want: layers.DigestOf(nil), Got: layers.DigestOf([]byte("x")), WantSize: -1}
	link := errors.New("connection lost")
	tests := map[string]struct {
		err  error
		is   error
		text string
		link bool
	}{
		"refusal":     {&stepError{"ask", refused}, refused, "web-1: disk too small", false},
		"disk full":   {full, ErrDiskFull, "web-1: load: no space left on the host's disk: load image: write /x: no space left on device", false},
		"gone":        {gone, errGone, "", false},
		"wrong bytes": {loadFailed(t.Context(), link, fmt.Errorf("layer: %w", wrong)), wrong, "", false},
		"link":        {loadFailed(t.Context(), link, writeError{link}), link, "web-1: send: connection lost", true},
		"stalled":     {&stepError{"ask", &StalledError{"did not answer", 30 * time.Second}}, nil, "web-1: ask: the engine did not answer for 30s", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := onHost("web-1", "x", tt.err)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Errorf("got %q, want %q", err, tt.text)
			}
			if _, ok := tt.err.(*stepError); ok && name != "refusal" && linkBroke(tt.err) != tt.link {
				t.Errorf("link broke: %v", !tt.link)
			}
		})
	}
}
