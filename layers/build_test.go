package layers

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func textFile(path, text string, mode fs.FileMode) File {
	return File{Path: path, Mode: mode, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func TestBuild(t *testing.T) {
	p := Platform{OS: "linux", Arch: "arm64"}
	long := "/opt/" + strings.Repeat("deep/", 40) + "file"
	files := []File{textFile("/ship", strings.Repeat("binary", 1000), 0o755), textFile("etc/passwd", "root:x:0:0::/:\n", 0o644),
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}, textFile("/run/empty", "", 0o600), textFile(long, "x", 0o644)}
	src, err := Build(BuildConfig{Ref: "ship/proxy:1", Platform: p, Entrypoint: []string{"/ship", "proxy"}, Labels: map[string]string{"a": "b"}}, files)
	must(t, err)
	img, err := src.Image(t.Context(), Platform{})
	must(t, err)
	r, err := img.Open(t.Context(), 0)
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err)
	if DiffID(DigestOf(data)) != img.Layers[0].DiffID || int64(len(data)) != img.Layers[0].Blob.Size {
		t.Error("the layer is not what its diff ID says")
	}
	var names []string
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		names = append(names, h.Name)
		if h.Name == "tmp/" && h.Mode != 0o1777 || h.Name == "ship" && (h.Mode != 0o755 || h.Size != 6000) {
			t.Errorf("entry %+v", h)
		}
	}
	if !slices.Contains(names, long[1:]) || !slices.Contains(names, "etc/") || !slices.Contains(names, "run/") {
		t.Errorf("entries %q", names)
	}
	c, err := parseConfig(img.Config)
	must(t, err)
	var run struct {
		Config struct{ Entrypoint []string }
	}
	must(t, json.Unmarshal(img.Config, &run))
	if c.platform() != p || !slices.Equal(run.Config.Entrypoint, []string{"/ship", "proxy"}) {
		t.Errorf("config %s", img.Config)
	}
	slices.Reverse(files)
	again, err := Build(BuildConfig{Ref: "other", Platform: p, Entrypoint: []string{"/ship", "proxy"}, Labels: map[string]string{"a": "b"}}, files)
	must(t, err)
	if img2, _ := again.Image(t.Context(), p); img2.ConfigDigest() != img.ConfigDigest() {
		t.Error("the same files in another order give another image")
	}
	if _, err := src.Image(t.Context(), Platform{OS: "linux", Arch: "amd64"}); err == nil {
		t.Error("an arm64 image is given out for amd64")
	}
}

func TestBuildRefuses(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		files []File
		want  string
	}{
		"twice":           {[]File{textFile("/a", "", 0o644), textFile("a", "", 0o644)}, "named twice"},
		"root":            {[]File{{Path: "/", Mode: fs.ModeDir}}, "named twice or empty"},
		"symlink":         {[]File{{Path: "a", Mode: fs.ModeSymlink}}, "neither a regular file"},
		"below a file":    {[]File{textFile("/a", "", 0o644), textFile("/a/b", "", 0o644)}, "is not a folder"},
		"shorter":         {[]File{{Path: "a", Size: 5, Open: textFile("", "1234", 0).Open}}, "has changed"},
		"longer":          {[]File{{Path: "a", Size: 3, Open: textFile("", "1234", 0).Open}}, "has changed"},
		"cannot open":     {[]File{{Path: "a", Size: 3, Open: func() (io.ReadCloser, error) { return nil, boom }}}, "boom"},
		"no size":         {[]File{{Path: "a", Size: -1}}, "neither"},
		"dots stay below": {[]File{textFile("../../a", "", 0o644), textFile("a", "", 0o644)}, "named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(BuildConfig{Platform: Platform{OS: "linux", Arch: "amd64"}}, c.files)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Build(BuildConfig{}, []File{textFile("a", "", 0)}); err == nil {
		t.Error("an image for no platform")
	}
}

func TestBuiltLayerThatChangesIsAnError(t *testing.T) {
	text := "before"
	f := File{Path: "a", Size: 6, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	src, err := Build(BuildConfig{Platform: Platform{OS: "linux", Arch: "amd64"}}, []File{f})
	must(t, err)
	img, err := src.Image(t.Context(), Platform{})
	must(t, err)
	text = "after!"
	r, err := img.Open(t.Context(), 0)
	must(t, err)
	var bad *MismatchError
	if _, err := io.ReadAll(r); !errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
	must(t, r.Close())
}

func TestChoosePlatform(t *testing.T) {
	parse := func(s string) Platform {
		f := append(strings.Split(s, "/"), "")
		return Platform{OS: f[0], Arch: f[1], Variant: f[2]}
	}
	for _, c := range []struct {
		have []string
		want string
		i    int // -1 = error
	}{
		{[]string{"linux/amd64"}, "linux/amd64", 0},
		{[]string{"linux/amd64"}, "linux/arm64", -1},
		{[]string{"windows/amd64", "linux/amd64"}, "linux/amd64", 1},
		{[]string{"linux/arm64/v8"}, "linux/arm64", 0},
		{[]string{"linux/arm64"}, "linux/arm64/v8", 0},
		{[]string{"linux/arm/v7", "linux/arm/v6"}, "linux/arm", 1},
		{[]string{"linux/arm/v7", "linux/arm/v6"}, "linux/arm/v7", 0},
		{[]string{"linux/arm/v6", "linux/arm/v7"}, "linux/arm/v8", 1},
		{[]string{"linux/arm/v7"}, "linux/arm/v6", -1},
		{[]string{"linux/amd64/v3", "linux/amd64"}, "linux/amd64", 1},
	} {
		var have []Platform
		for _, h := range c.have {
			have = append(have, parse(h))
		}
		i, err := choosePlatform(have, parse(c.want))
		var bad *PlatformError
		if c.i < 0 && !errors.As(err, &bad) || c.i >= 0 && (err != nil || i != c.i) {
			t.Errorf("%v for %s: %d, %v; want %d", c.have, c.want, i, err, c.i)
		}
	}
}
