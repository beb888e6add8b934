package layers

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar" // and +gzip, +zstd
)

// maxMetadata bounds every JSON document that is read from a source or a host, in bytes.
const maxMetadata = 16 << 20

// Media is the blob's media type, from its compression where it names none.
func (b Blob) Media() string {
	if b.MediaType != "" || b.Compression == Plain {
		return orElse(b.MediaType, mediaLayer)
	}
	return mediaLayer + "+" + string(b.Compression)
}

// magicLen bytes of a blob are enough for sniff.
const magicLen = 6

// sniff tells the compression of a blob by its first bytes, as engines do: they do not look at media types.
func sniff(head []byte) (Compression, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip, nil
	case isZstd(head):
		return Zstd, nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return "", fmt.Errorf("compressed with xz, which not every engine reads")
	case bytes.HasPrefix(head, []byte("BZh")):
		return "", fmt.Errorf("compressed with bzip2, which not every engine reads")
	}
	return Plain, nil
}

// isZstd also knows skippable frames (magic 0x184D2A5?), which some writers put first.
func isZstd(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	frame := b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd
	skippable := b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
	return frame || skippable
}

// refuseMedia says why a layer of this media type cannot be shipped, or nil.
func refuseMedia(mediaType string) error {
	switch {
	case strings.Contains(mediaType, "foreign") || strings.Contains(mediaType, "nondistributable"):
		return fmt.Errorf("its content is kept elsewhere (media type %.100q)", mediaType)
	case strings.HasSuffix(mediaType, "+encrypted"):
		return fmt.Errorf("it is encrypted")
	}
	return nil
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
