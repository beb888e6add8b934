package orchestrate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// stateDir is the head of every script that touches ship's state on a host: it sets $state. Root, and whoever may
// write there, uses /var/lib/ship; so a root login and a member of the docker group meet at one lock as soon as root
// has been there once. Membership of the docker group is root in all but name, hence the group's access.
const stateDir = `set -eu
if [ "$(id -u)" = 0 ]; then
	if [ ! -d /var/lib/ship ]; then
		mkdir -p -m 0700 /var/lib/ship
		if chgrp docker /var/lib/ship 2>/dev/null; then chmod 2770 /var/lib/ship; fi
	fi
	state=/var/lib/ship
elif [ -w /var/lib/ship ]; then
	state=/var/lib/ship
else
	state=${XDG_STATE_HOME:-$HOME/.local/state}/ship
	mkdir -p -m 0700 "$state"
fi
if [ "$state" = /var/lib/ship ]; then umask 007; else umask 077; fi
`

// freeDisk tells the free bytes of the file system that dir, or its nearest parent that exists, lies on.
func freeDisk(ctx context.Context, sh Shell, dir string) (int64, error) {
	out, err := sh.Script(ctx, `df -Pk "$1" | awk 'NR==2{print $4}'`, []string{dir}, nil)
	if err != nil {
		return 0, fmt.Errorf("free disk: %w", err)
	}
	kb, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("free disk: %w", err)
	}
	return kb << 10, nil
}
