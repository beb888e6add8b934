package layers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestNewImage(t *testing.T) {
	s := newSeedImage(t, 100<<10, "a", "b", "c")
	stored := [][]byte{s.plain[0], packed(t, s.plain[1], Gzip), packed(t, s.plain[2], Zstd)}
	blobs := []Blob{
		{Size: int64(len(stored[0]))}, // a plain one is named by its diff ID
		{Digest: DigestOf(stored[1]), Size: int64(len(stored[1])), Compression: Gzip},
		{Size: -1, Estimate: 100 << 10, Compression: Zstd},
	}
	open := func(_ context.Context, i int) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(stored[i])), nil
	}
	img, err := NewImage("shop:v1", s.config, blobs, open)
	must(t, err)
	if img.Ref != "shop:v1" || img.Platform != (Platform{OS: "linux", Arch: "amd64"}) || img.ConfigDigest() != DigestOf(s.config) || img.Layers[2].Blob.Roughly() != 100<<10 {
		t.Errorf("image %+v", img)
	}
	spool := newSpool(t, SpoolOptions{})
	for i := range stored {
		b, err := spool.Blob(t.Context(), img, i, Accept{Zstd: true})
		must(t, err)
		if plain := unpacked(t, readSpooled(t, b), b.Compression); !bytes.Equal(plain, s.plain[i]) {
			t.Errorf("layer %d is another", i)
		}
	}
	// Nothing that is not what the config says is kept for other images.
	for i := range stored {
		bad := bytes.Clone(stored[i])
		bad[len(bad)/2] ^= 1
		wrong := []Blob{blobs[0], {Digest: DigestOf(packed(t, s.plain[0], Gzip)), Size: -1, Compression: Gzip}, blobs[2]}
		img, err := NewImage("", s.config, wrong, func(_ context.Context, i int) (io.ReadCloser, error) {
			if i == 1 {
				bad = packed(t, s.plain[0], Gzip) // a sound blob, of another layer
			}
			return io.NopCloser(bytes.NewReader(bad)), nil
		})
		must(t, err)
		spool := newSpool(t, SpoolOptions{})
		if b, err := spool.Blob(t.Context(), img, i, Accept{Zstd: true}); err == nil {
			t.Errorf("layer %d: %+v", i, b)
		}
		if f := spool.cache.layer(s.ids[i], Zstd, Gzip, Plain); f != nil {
			t.Errorf("layer %d: kept %+v", i, f)
		}
	}
}

func TestNewImageRefuses(t *testing.T) {
	s := newSeedImage(t, 10, "a")
	for name, c := range map[string]struct {
		config string
		blobs  []Blob
		want   string
	}{
		"no config":          {"", []Blob{{}}, "image config"},
		"no blob":            {string(s.config), nil, "0 blobs for a config of 1 layers"},
		"a blob too many":    {string(s.config), []Blob{{}, {}}, "2 blobs"},
		"a bad digest":       {string(s.config), []Blob{{Digest: "sha256:1"}}, "layer 1 of 1: invalid digest"},
		"another plain blob": {string(s.config), []Blob{{Digest: DigestOf(nil)}}, "digest mismatch"},
		"a bad size":         {string(s.config), []Blob{{Size: -2}}, "size -2"},
		"another packing":    {string(s.config), []Blob{{Compression: "xz"}}, "nothing here reads"},
		"kept elsewhere":     {string(s.config), []Blob{{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}}, "kept elsewhere"},
	} {
		if img, err := NewImage("", []byte(c.config), c.blobs, nil); img != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, error %v", name, img, err)
		}
	}
	broken := errors.New("no line")
	img, err := NewImage("", s.config, []Blob{{Size: -1}}, func(context.Context, int) (io.ReadCloser, error) { return nil, broken })
	must(t, err)
	if _, err := newSpool(t, SpoolOptions{}).Blob(t.Context(), img, 0, Accept{}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
