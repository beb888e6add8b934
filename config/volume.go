package config

import (
	"errors"
	"fmt"
	"strings"
)

// Volume is a mount: a directory or file of the host, or a volume of the engine by its name.
type Volume struct {
	Source   string // an absolute path or a volume's name
	Target   string // an absolute path in the container
	ReadOnly bool
}

// Named says whether Source is a volume of the engine.
func (v Volume) Named() bool { return !strings.HasPrefix(v.Source, "/") }

const noSource = "the source is neither an absolute path nor a volume's name"

// ParseVolume reads SOURCE:TARGET[:ro|rw], the common part of docker run --volume.
func ParseVolume(s string) (Volume, error) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return Volume{}, hinted{"not a volume", "SOURCE:TARGET or SOURCE:TARGET:ro"}
	}
	v := Volume{Source: parts[0], Target: parts[1]}
	if len(parts) == 3 {
		switch parts[2] {
		case "ro":
			v.ReadOnly = true
		case "rw":
		default:
			return Volume{}, fmt.Errorf("option %s: only ro and rw are known", clip(parts[2]))
		}
	}
	switch {
	case !strings.HasPrefix(v.Target, "/") || v.Target == "/":
		return Volume{}, errors.New("the target is not an absolute path in the container")
	case !v.Named():
	case strings.HasPrefix(v.Source, ".") || strings.HasPrefix(v.Source, "~"):
		return Volume{}, hinted{noSource, "relative to what on the host is not known: write the whole path"}
	case len(v.Source) < 2 || strings.Trim(v.Source, alphanumeric+"_.-") != "" || strings.ContainsAny(v.Source[:1], "_.-"):
		return Volume{}, errors.New(noSource)
	}
	return v, nil
}

func checkVolume(s string) error {
	_, err := ParseVolume(s)
	return err
}
