package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"ship/internal/docker"
	"ship/layers"
)

// partRepo is the repository of all temporary tags: a name that no registry can have (RFC 2606).
const partRepo = "ship.invalid/part"

// partAge is how long the parts of another image are left alone: somebody may be about to go on with them.
const partAge = 24 * time.Hour

// run makes the temporary tags of one push to one host distinct from all others: two pushes of one image may be at
// work at once, and each removes its own.
type run string

func newRun() run { return run(fmt.Sprintf("%08x%06x", time.Now().Unix(), rand.IntN(1<<24))) }

// tag is the temporary tag for the image of the lowest top layers: ship.invalid/part:CONFIG-TOP-RUN.
func (r run) tag(config layers.Digest, top int) string {
	return fmt.Sprintf("%s:%s-%d-%s", partRepo, config.Short(), top, r)
}

// leftovers picks, of the temporary tags on a host, those that nobody needs once the image of config is there: its
// own parts, and those of any image that are old.
func leftovers(tags []string, config layers.Digest, now time.Time) []string {
	var out []string
	for _, t := range tags {
		name, ok := strings.CutPrefix(t, partRepo+":")
		fields := strings.Split(name, "-")
		if !ok || len(fields) != 3 || len(fields[2]) < 8 {
			continue
		}
		made, err := strconv.ParseInt(fields[2][:8], 16, 64)
		if err == nil && (fields[0] == config.Short() || now.Sub(time.Unix(made, 0)) > partAge) {
			out = append(out, t)
		}
	}
	return out
}

// removeTags removes names; layers that other images have stay. Names that are gone already are no error.
func removeTags(ctx context.Context, e Engine, tags ...string) error {
	errs := make([]error, len(tags))
	var wg sync.WaitGroup
	for i, t := range tags {
		wg.Go(func() {
			if err := e.RemoveImage(ctx, t); err != nil && !errors.Is(err, docker.ErrNotFound) {
				errs[i] = fmt.Errorf("remove temporary tag %s: %w", t, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
