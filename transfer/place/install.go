package place

import (
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
)

// Binary is the helper for one architecture.
type Binary struct {
	SHA256   string // in hexadecimal
	Size     int64  // bytes
	GzipSize int64  // bytes; 0 = not known before it is read
	// Open begins a gzip stream of it.
	Open func() (io.ReadCloser, error)
}

// Install brings the helper to where Look said that it belongs, in one round trip, and returns f with Present set.
// A file that is not whole never gets the helper's name, and two installs at once do not disturb each other.
//
// The error wraps ErrDamaged where another try may help, ErrForbidden where the host does not run the file.
func Install(ctx context.Context, sh Shell, f Found, b Binary) (Found, error) {
	if path.Base(f.Path) != Prefix+b.SHA256 || !isHash(b.SHA256) {
		return f, fmt.Errorf("install the helper: %q is not the place of %s", f.Path, b.SHA256)
	}
	gz, err := b.Open()
	if err != nil {
		return f, fmt.Errorf("install the helper: %w", err)
	}
	_, err = ask(ctx, sh, receiveScript, receiveArgs(f.Path, b), gz)
	_ = gz.Close() // only read
	if err != nil {
		return f, fmt.Errorf("install the helper: %w", err)
	}
	f.Present = true
	return f, nil
}

func receiveArgs(to string, b Binary) []string {
	return []string{to, b.SHA256, strconv.FormatInt(b.Size, 10), Checked, newName()}
}

// receiveScript: path, SHA-256, size, word of the helper, and a name that hosts which share the folder do not share. The
// file comes as gzip on standard input; more than its size is never written, whatever comes. While it is tested its name
// begins like the one it gets. Each line is a command of its own, see PlaceCommand.
const receiveScript = `p=$1 hash=$2 size=$3 word=$4 t=$1.part-$5-$$
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM
said=$({ gzip -dc | head -c $((size+1)) >"$t"; } 2>&1) || fail failed "cannot write $t: $said"
have=$(wc -c 2>/dev/null <"$t" || echo 0)
sum=$(sha256sum 2>/dev/null <"$t")
[ "${sum%% *}" = "$hash" ] || fail damaged "$((have)) of $size bytes; $said"
chmod 700 "$t" || fail failed "chmod"
said=$("$t" check </dev/null 2>&1)
[ "$said" = "$word" ] || fail forbidden "$said"
mv -f "$t" "$p" || fail failed "cannot write $p"
answer done
`
