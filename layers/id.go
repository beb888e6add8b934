package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest names bytes as they are stored or sent: "sha256:" and 64 hex digits.
type Digest string

// DiffID is the digest of a layer's uncompressed tar (OCI image-spec, config.md "Layer DiffID").
type DiffID string

// ChainID names a stack of layers (OCI image-spec, config.md "Layer ChainID"): what a graph driver keeps layers by.
type ChainID string

// ParseDigest checks the form of s. Only sha256 is accepted: no engine we speak to uses another algorithm.
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != 64 || strings.Trim(h, "0123456789abcdef") != "" {
		return "", fmt.Errorf("invalid digest %.80q", s)
	}
	return Digest(s), nil
}

// ParseDiffID checks the form of s.
func ParseDiffID(s string) (DiffID, error) {
	d, err := ParseDigest(s)
	return DiffID(d), err
}

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	h := sha256.Sum256(b)
	return Digest("sha256:" + hex.EncodeToString(h[:]))
}

// Hex is the digest without its algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short is what people see: the first 12 hex digits.
func (d Digest) Short() string { return short(string(d)) }

// Hex is the diff ID without its algorithm.
func (d DiffID) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short is what people see: the first 12 hex digits.
func (d DiffID) Short() string { return short(string(d)) }

// Chain folds diff IDs, bottom first, into chain IDs: c0 = d0, ci = sha256("c(i-1) di").
func Chain(ids []DiffID) []ChainID {
	out := make([]ChainID, len(ids))
	for i, d := range ids {
		if i == 0 {
			out[i] = ChainID(d)
			continue
		}
		out[i] = ChainID(DigestOf([]byte(string(out[i-1]) + " " + string(d))))
	}
	return out
}

func short(s string) string {
	h := strings.TrimPrefix(s, "sha256:")
	if len(h) > 12 {
		return h[:12]
	}
	return h
}
