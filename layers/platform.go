package layers

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// PlatformError: a source has no image for the platform that is wanted.
type PlatformError struct {
	Want Platform // zero = none was named, and there are several
	Have []Platform
}

func (e *PlatformError) Error() string {
	have := make([]string, len(e.Have))
	for i, p := range e.Have {
		have[i] = p.String()
	}
	list := strings.Join(have, ", ")
	if e.Want == (Platform{}) {
		return fmt.Sprintf("the image is for several platforms, name one: %s", list)
	}
	return fmt.Sprintf("no image for %s; there is %s", e.Want, orElse(list, "none"))
}

// ChoosePlatform returns the index of the platform in have that Source.Image shall return for want. Its error is a
// *PlatformError.
func ChoosePlatform(have []Platform, want Platform) (int, error) { return choosePlatform(have, want) }

// choosePlatform returns the index of the platform in have that runs on want, the closest variant first. Without
// a variant in want it takes the lowest, which runs everywhere.
func choosePlatform(have []Platform, want Platform) (int, error) {
	if want == (Platform{}) {
		if len(have) == 1 {
			return 0, nil
		}
		if i, err := choosePlatform(have, Platform{OS: "linux", Arch: runtime.GOARCH}); err == nil {
			return i, nil
		}
		return 0, &PlatformError{Have: have}
	}
	best := -1
	for i, p := range have {
		if p.OS != want.OS || p.Arch != want.Arch || !runsOn(p, want) {
			continue
		}
		if best < 0 || closer(variant(p), variant(have[best]), variant(want)) {
			best = i
		}
	}
	if best < 0 {
		return 0, &PlatformError{Want: want, Have: slices.Clone(have)}
	}
	return best, nil
}

func runsOn(p, want Platform) bool {
	return variant(want) == "" || variant(p) <= variant(want)
}

// closer: a is a better variant than b for a machine of variant want.
func closer(a, b, want string) bool {
	if want == "" {
		return a < b
	}
	return a > b
}

// variant leaves out the ones that every machine of the architecture has.
func variant(p Platform) string {
	if p.Arch == "arm64" && p.Variant == "v8" || p.Arch == "amd64" && p.Variant == "v1" {
		return ""
	}
	return p.Variant
}
