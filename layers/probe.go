package layers

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// probePath is what a probe calls its layers; an engine's error repeats it.
var probePath = regexp.MustCompile(`ship/([0-9]{1,4})-[0-9a-f]{64}: no such file or directory`)

// Probe returns an archive that names the layers of an image and contains none. A graph driver's `docker load` of it
// either succeeds (every layer is held, and the image is now there under tag), or fails on the first layer that is
// missing: see ProbeMissing. It also finds layers that no listing shows, kept by containers or the build cache. A
// containerd store refuses it always. Tag "" loads without a name.
func Probe(config []byte, ids []DiffID, tag string) []byte {
	paths := make([]string, len(ids))
	for i, d := range ids {
		paths[i] = fmt.Sprintf("ship/%d-%s", i, d.Hex())
	}
	name := DigestOf(config).Hex() + ".json"
	manifest, _ := json.Marshal([]archiveItem{newArchiveItem(name, tag, paths)}) // strings always marshal
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		data []byte
	}{{name, config}, {"manifest.json", manifest}} {
		_ = tw.WriteHeader(entryHeader(f.name, int64(len(f.data)))) // a buffer takes everything
		_, _ = tw.Write(f.data)
	}
	_ = tw.Close()
	return b.Bytes()
}

// ProbeMissing reads the engine's error on a Probe: n is the first layer that is missing, so that n layers from the
// bottom are held. ok is false when the error is about something else.
func ProbeMissing(errorText string) (n int, ok bool) {
	m := probePath.FindStringSubmatch(errorText)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}
