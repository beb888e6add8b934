package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The transports of a Ref, as in containers-transports(5).
const (
	TransportDaemon        = "docker-daemon"
	TransportDockerArchive = "docker-archive"
	TransportOCIArchive    = "oci-archive"
	TransportOCI           = "oci"
	// TransportSSH is the engine of a host. Its Path is what ssh connects to, "[user@]host[:port]".
	TransportSSH = "ssh"
	// TransportArchive is a plain path to an archive; which of the two it is, its content tells. It is not written.
	TransportArchive = "archive"
)

// Ref says where an image is read from.
type Ref struct {
	Transport string
	Path      string // of the file or folder; the host for ssh; "" for docker-daemon
	Name      string // of the image in there; "" = the only one
}

func (r Ref) String() string {
	switch {
	case r.Transport == TransportDaemon:
		return r.Transport + ":" + r.Name
	case r.Transport == TransportArchive:
		return r.Path
	case r.Transport == TransportSSH:
		return r.Transport + "://" + r.Path + "/" + r.Name
	case r.Name == "":
		return r.Transport + ":" + r.Path
	}
	return r.Transport + ":" + r.Path + ":" + r.Name
}

const knownTransports = "docker-daemon:REF, docker-archive:FILE[:REF], oci-archive:FILE[:REF], oci:DIR[:REF], ssh://HOST/REF"

// ParseRef reads what a person writes: one of the transports, a path to an archive or to an OCI layout, or just the
// name of an image of the local engine. Files have to exist: that error is errors.Is(err, fs.ErrNotExist).
func ParseRef(s string) (Ref, error) {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Ref{}, fmt.Errorf("image %.200q: empty, or with control characters", s)
	}
	transport, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok:
	case transport == TransportDaemon:
		return daemonRef(s, rest)
	case transport == TransportDockerArchive, transport == TransportOCIArchive, transport == TransportOCI:
		path, name, _ := strings.Cut(rest, ":")
		return fileRef(s, Ref{Transport: transport, Path: path, Name: name})
	case transport == TransportSSH && strings.HasPrefix(rest, "//"):
		return sshRef(s, strings.TrimPrefix(rest, "//"))
	case strings.HasPrefix(rest, "//"):
		return Ref{}, fmt.Errorf("image %.200q: %s:// is not a known source; known are %s", s, transport, knownTransports)
	}
	if r, ok := pathRef(s); ok {
		return fileRef(s, r)
	}
	if r, err := daemonRef(s, s); err == nil {
		return r, nil
	}
	if ok && namePath.MatchString(transport) {
		return Ref{}, fmt.Errorf("image %.200q: %s: is not a known source; known are %s", s, transport, knownTransports)
	}
	return Ref{}, fmt.Errorf("image %.200q: neither a name nor a known source; known are %s", s, knownTransports)
}

// daemonRef takes a name, a name by digest, or an image ID.
func daemonRef(s, name string) (Ref, error) {
	r := Ref{Transport: TransportDaemon, Name: name}
	repo, digest, byDigest := strings.Cut(name, "@")
	if byDigest {
		if _, err := ParseDigest(digest); err != nil {
			return Ref{}, fmt.Errorf("image %.200q: %w", s, err)
		}
		name = repo
	}
	if _, err := ParseDigest(name); err == nil || isHexID(name) {
		return r, nil
	}
	if _, err := NormalizeRef(name); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// pathRef recognises a path by its look, or by what lies there.
func pathRef(s string) (Ref, bool) {
	if isLayout(s) {
		return Ref{Transport: TransportOCI, Path: s}, true
	}
	looks := func(of []string, fits func(s, part string) bool) bool {
		return slices.ContainsFunc(of, func(part string) bool { return fits(s, part) })
	}
	if looks([]string{"/", "./", "../"}, strings.HasPrefix) || looks([]string{".tar", ".tar.gz", ".tgz", ".tar.zst"}, strings.HasSuffix) {
		return Ref{Transport: TransportArchive, Path: s}, true
	}
	return Ref{}, false
}

func fileRef(s string, r Ref) (Ref, error) {
	if r.Path == "" {
		return Ref{}, fmt.Errorf("image %.200q: a path is missing: known are %s", s, knownTransports)
	}
	info, err := os.Stat(r.Path)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return Ref{}, fmt.Errorf("image %.200q: %s: %w", s, r.Path, err)
	}
	switch isDir := info.IsDir(); {
	case r.Transport == TransportOCI && !isDir:
		return Ref{}, fmt.Errorf("image %.200q: %s is a file; for an archive write oci-archive:%s", s, r.Path, r.Path)
	case r.Transport == TransportOCI && !isLayout(r.Path):
		return Ref{}, fmt.Errorf("image %.200q: %s is not an OCI layout: it has no index.json", s, r.Path)
	case r.Transport != TransportOCI && isDir:
		return Ref{}, fmt.Errorf("image %.200q: %s is a folder, and not an OCI layout", s, r.Path)
	case r.Transport != TransportOCI && !info.Mode().IsRegular():
		return Ref{}, fmt.Errorf("image %.200q: %s is not a regular file", s, r.Path)
	}
	return r, nil
}

func isLayout(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "index.json"))
	return err == nil && info.Mode().IsRegular()
}

// ChoiceError: a source holds several images and none was named, or not the one that was.
type ChoiceError struct {
	Source string   // as written
	Want   string   // "" = none was named
	Have   []string // names, sorted; images without a name are not in it
}

func (e *ChoiceError) Error() string {
	have := "none has a name"
	if len(e.Have) > 0 {
		have = "there is " + strings.Join(e.Have, ", ")
	}
	if e.Want == "" {
		return fmt.Sprintf("%s holds several images, add :REF to name one: %s", e.Source, have)
	}
	return fmt.Sprintf("%s holds no image %q: %s", e.Source, e.Want, have)
}
