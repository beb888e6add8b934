package place

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"
)

// Grant lets one key start one command on a host, as the SSH user, for a while.
type Grant struct {
	Run     string        // letters, digits and hyphens; by it the grant is taken back
	Key     ssh.PublicKey // ed25519
	From    []netip.Addr  // where the key may come from; at least one
	Command string        // for the user's login shell: JoinCommand, PlaceCommand or Either
	Life    time.Duration // after which the key opens nothing, by the host's own clock
}

// maxCommand is the longest forced command in bytes. sshd reads lines of at least 8 KiB.
const maxCommand = 7 << 10

// Admit adds grants to the SSH user's authorized_keys, all or none, in one round trip. What else is in that file stays as
// it is, and the file is never seen half written. Grants of ours that have expired go.
//
// Where sshd reads other files than ~/.ssh/authorized_keys a grant has no effect, which shows when it is used.
func Admit(ctx context.Context, sh Shell, grants ...Grant) error {
	var args []string
	for _, g := range grants {
		before, after, err := g.line()
		if err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		args = append(args, strconv.FormatInt(int64(max(g.Life, time.Second)/time.Second), 10), before, after)
	}
	if _, err := ask(ctx, sh, keysScript+admitScript, args, nil); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

// Revoke removes a run's grants, and grants of ours that have expired. It leaves authorized_keys as it was before.
func Revoke(ctx context.Context, sh Shell, run string) error {
	if err := checkRun(run); err != nil {
		return fmt.Errorf("revoke grants: %w", err)
	}
	if _, err := ask(ctx, sh, keysScript+revokeScript, []string{run}, nil); err != nil {
		return fmt.Errorf("revoke grants: %w", err)
	}
	return nil
}

func checkRun(run string) error {
	if run == "" || len(run) > 64 || strings.ContainsFunc(run, func(r rune) bool {
		return r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		return fmt.Errorf("%q is no name of a run", run)
	}
	return nil
}

// line is the grant as sshd reads it, in two parts: the host puts the time of expiry between them.
func (g Grant) line() (before, after string, err error) {
	if err := checkRun(g.Run); err != nil {
		return "", "", err
	}
	if len(g.From) == 0 {
		return "", "", errors.New("no address that it may come from")
	}
	if g.Key == nil || g.Key.Type() != ssh.KeyAlgoED25519 {
		return "", "", errors.New("no ed25519 key")
	}
	command, err := option(g.Command)
	if err != nil {
		return "", "", err
	}
	var from []string
	for _, a := range g.From {
		from = append(from, a.Unmap().WithZone("").String())
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(g.Key)))
	return `restrict,from="` + strings.Join(from, ",") + `",expiry-time="`, `",command=` + command + ` ` + key + ` ship-` + g.Run, nil
}

// option quotes a value for authorized_keys: a backslash means itself, save before a quote, so that it cannot come last.
func option(s string) (string, error) {
	if s == "" || len(s) > maxCommand || strings.HasSuffix(s, `\`) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%.60q cannot be a forced command", s)
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`, nil
}

// JoinCommand is the forced command that joins the helper at path which serves the run folder dir.
func JoinCommand(path, dir, run, role, name string) string {
	return "exec " + quote(path, "join", dir, run, role, name)
}

// PlaceCommand is the forced command that receives the helper where Look said that it belongs. What is received is
// checked against b, not against anything that the peer says.
func PlaceCommand(f Found, b Binary) string {
	script := strings.ReplaceAll(strings.TrimSpace(head+receiveScript), "\n", "; ") // a grant is one line
	return "exec " + quote(append([]string{"sh", "-c", script, "sh"}, receiveArgs(f.Path, b)...)...)
}

// Either is the forced command that runs one of two, by the one word that the peer may choose: "join" or "place".
func Either(join, place string) string {
	const choose = `case $SSH_ORIGINAL_COMMAND in join) eval "$1";; place) eval "$2";; *) exit 1;; esac`
	return "exec " + quote("sh", "-c", choose, "sh", join, place)
}
