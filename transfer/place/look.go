package place

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ship/internal/plain"
)

// Prefix begins the name of the helper's file on a host; its SHA-256 follows. A program that has several tasks knows by
// its own name that this one is wanted.
const Prefix = "ship-helper-"

// Found is what a host answered.
type Found struct {
	Arch    string // as Go calls it; a system other than Linux comes first, "freebsd/amd64"
	Path    string // of the helper, where it is or belongs
	Present bool   // the helper is there, whole, and runs
	Dir     string // the folder of this run: of the SSH user, mode 0700, new, with a name that nobody can guess
}

// Look finds out in one round trip whether a host has the helper, by the SHA-256 in hexadecimal that it has for each
// architecture, and makes a run folder. Removing that is up to the helper; what crashed runs left goes after two days.
//
// The error wraps ErrArchitecture (Arch is set), ErrNoexec or ErrForbidden where the host cannot have the helper.
func Look(ctx context.Context, sh Shell, hashes map[string]string) (Found, error) {
	args := []string{newName(), Checked, Prefix}
	for _, arch := range slices.Sorted(maps.Keys(hashes)) {
		if !isHash(hashes[arch]) {
			return Found{}, fmt.Errorf("look for the helper: %q is no SHA-256", hashes[arch])
		}
		args = append(args, arch+"="+hashes[arch])
	}
	a, err := ask(ctx, sh, lookScript, args, nil)
	f := Found{Arch: plain.Line(a["arch"], 40), Path: a["path"], Dir: a["dir"]}
	switch _, f.Present = a["present"]; {
	case err != nil:
	case hashes[f.Arch] == "":
		err = because(ErrArchitecture, f.Arch)
	case !path.IsAbs(f.Path) || !path.IsAbs(f.Dir) || path.Base(f.Path) != Prefix+hashes[f.Arch]:
		err = errors.New("an answer without the helper's place")
	}
	if err != nil {
		return Found{Arch: f.Arch}, fmt.Errorf("look for the helper: %w", err)
	}
	return f, nil
}

// Forget removes the run folder of a helper that is not to run after all.
func Forget(ctx context.Context, sh Shell, f Found) error {
	if _, err := ask(ctx, sh, forgetScript, []string{f.Dir}, nil); err != nil {
		return fmt.Errorf("remove %s: %w", f.Dir, err)
	}
	return nil
}

const forgetScript = `rmdir "$1" 2>/dev/null || [ ! -e "$1" ] || fail failed "it is in use"
answer done
`

func isHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// newName is 128 random bits.
func newName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// lookScript: name of the run folder, word of the helper, prefix of its file, then ARCH=HASH...
//
// The folder is the first of which the user owns all, nobody else can do anything, and where a file can be run: home
// folders are mounted noexec here and there. A symbolic link in its place may be anybody's. The path of a socket has at
// most 107 bytes, so that a long home makes the run folder go elsewhere.
const lookScript = `run=$1 word=$2 prefix=$3; shift 3
system=$(uname -s) arch=$(uname -m)
case $arch in
x86_64|amd64) arch=amd64 ;;
aarch64|arm64) arch=arm64 ;;
i?86) arch=386 ;;
armv[5-7]*|armv8l) arch=arm ;;
esac
[ "$system" = Linux ] || arch=$(echo "$system" | tr A-Z a-z)/$arch
answer arch "$arch"
hash=
for w; do [ "${w%%=*}" != "$arch" ] || hash=${w#*=}; done
[ -n "$hash" ] || fail done
for tool in sha256sum gzip head find; do
	command -v $tool >/dev/null || fail forbidden "there is no $tool"
done
denied=
usable() {
	case $1 in *"
"*) return 1 ;; esac
	[ -d "$1" ] || mkdir -p "$1" 2>/dev/null || return 1
	[ ! -L "$1" ] && [ -O "$1" ] && chmod 700 "$1" 2>/dev/null || return 1
	t=$1/.try-$run
	printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$t" && chmod 700 "$t" || { rm -f "$t"; return 1; }
	"$t" 2>/dev/null; s=$?
	rm -f "$t"
	[ $s = 0 ] || { denied="$denied $1"; return 1; }
}
id=$(id -u) home=${HOME%/} cache=${XDG_CACHE_HOME-} d=
case $cache in /*) ;; *) cache=$home/.cache ;; esac
case $cache in /*) ;; *) cache=/nowhere ;; esac
for c in "$cache/ship" "/var/tmp/ship-$id" "/dev/shm/ship-$id" "/run/user/$id/ship"; do
	usable "$c" && { d=$c; break; }
done
[ -n "$d" ] || { [ -z "$denied" ] || fail noexec "tried$denied"; fail forbidden "no folder can be written"; }
p=$d/$prefix$hash
answer path "$p"
if [ -f "$p" ] && [ ! -L "$p" ] && [ -O "$p" ]; then
	sum=$(sha256sum <"$p")
	if [ "${sum%% *}" = "$hash" ]; then
		said=$("$p" check </dev/null 2>&1)
		[ "$said" = "$word" ] || fail forbidden "$said"
		touch -c "$p"
		answer present
	else rm -f "$p"
	fi
fi
find "$d" -maxdepth 1 -type f -name "$prefix*" -mtime +30 ! -path "$p" -exec rm -f {} \; 2>/dev/null
find "$d" -maxdepth 1 -type f \( -name "$prefix*.part-*" -o -name '.try-*' \) -mtime +1 -exec rm -f {} \; 2>/dev/null
find "$d" -maxdepth 1 -type d -name 'run-*' -mtime +1 -exec rm -rf {} \; 2>/dev/null
dir=$d/run-$run
[ ${#dir} -le 90 ] || dir=/tmp/ship-run-$run
mkdir -m 700 "$dir" 2>/dev/null || fail failed "cannot make $dir"
answer dir "$dir"
answer done
`
