package layers

import (
	"fmt"
	"regexp"
	"strings"
)

// The grammar of distribution/reference, the one every engine applies.
var (
	namePath   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	nameDomain = regexp.MustCompile(`^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$|^\[[a-fA-F0-9:]+\](?::[0-9]+)?$`)
	nameTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// NormalizeRef returns the full form of an image's name, as a containerd store keeps it: "shop" is
// "docker.io/library/shop:latest". Names by digest are refused: nothing can be loaded under one.
func NormalizeRef(s string) (string, error) {
	if strings.Contains(s, "@") {
		return "", fmt.Errorf("image name %.200q: a tag is needed, not a digest", s)
	}
	rest, tag := splitTag(s)
	if tag == "" {
		tag = "latest"
	}
	domain, path := "docker.io", rest
	if first, after, ok := strings.Cut(rest, "/"); ok && isDomain(first) {
		domain, path = first, after
	}
	if domain == "index.docker.io" {
		domain = "docker.io"
	}
	if domain == "docker.io" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	switch {
	case strings.HasSuffix(s, ":"):
		return "", fmt.Errorf("image name %.200q: the tag is empty", s)
	case len(domain)+1+len(path) > 255:
		return "", fmt.Errorf("image name %.60q...: longer than 255 characters", s)
	case path != strings.ToLower(path):
		return "", fmt.Errorf("image name %q: must be lowercase", s)
	case isHexID(rest):
		return "", fmt.Errorf("image name %q: looks like an image ID", s)
	case !namePath.MatchString(path) || !nameDomain.MatchString(domain):
		return "", fmt.Errorf("invalid image name %q", s)
	case !nameTag.MatchString(tag):
		return "", fmt.Errorf("invalid tag in image name %.400q", s)
	}
	return domain + "/" + path + ":" + tag, nil
}

// FamiliarRef returns the short form that people and `docker image ls` use, with its tag: "shop:latest".
func FamiliarRef(s string) (string, error) {
	full, err := NormalizeRef(s)
	if err != nil {
		return "", err
	}
	short := strings.TrimPrefix(full, "docker.io/")
	if after, ok := strings.CutPrefix(short, "library/"); ok && short != full {
		return after, nil
	}
	return short, nil
}

// splitTag cuts the tag off; a colon before a slash belongs to a port.
func splitTag(s string) (name, tag string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// isDomain tells a registry's name from the first part of a path, as engines do.
func isDomain(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost" || s != strings.ToLower(s)
}

func isHexID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
