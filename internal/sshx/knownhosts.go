package sshx

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// knownFiles are the known_hosts files of one host.
type knownFiles struct {
	db     *knownhosts.HostKeyDB
	copies map[string]string // a copy that was read instead of a file, to the file
}

// readKnown reads the files that exist; with required, one that does not is an error.
func readKnown(files []string, required bool) (*knownFiles, error) {
	k := &knownFiles{copies: map[string]string{}}
	dir := ""
	defer func() {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}()
	var use []string
	for i, f := range files {
		_, err := knownhosts.NewDB(f)
		if errors.Is(err, fs.ErrNotExist) && !required {
			continue
		}
		if err == nil {
			use = append(use, f)
			continue
		}
		if _, ioErr := os.ReadFile(f); ioErr != nil {
			return nil, fmt.Errorf("known hosts: %w", ioErr)
		}
		if dir == "" {
			if dir, err = os.MkdirTemp("", "ship-known-"); err != nil {
				return nil, err
			}
		}
		c := filepath.Join(dir, fmt.Sprint(i))
		if err := copyReadable(c, f); err != nil {
			return nil, err
		}
		k.copies[c] = f
		use = append(use, c)
	}
	db, err := knownhosts.NewDB(use...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %s", k.rename(err.Error()))
	}
	k.db = db
	return k, nil
}

// check is nil if key is known for the host:port name.
func (k *knownFiles) check(name string, key ssh.PublicKey) error {
	// x/crypto wants an address that it can split, and uses it only where there is no name.
	return k.db.HostKeyCallback()(name, &net.TCPAddr{IP: net.IPv4zero}, key)
}

// name is the file that a person knows.
func (k *knownFiles) name(file string) string {
	if original, ok := k.copies[file]; ok {
		return original
	}
	return file
}

func (k *knownFiles) rename(text string) string {
	for c, original := range k.copies {
		text = strings.ReplaceAll(text, c, original)
	}
	return text
}

// copyReadable copies a known_hosts file without the lines whose key this program cannot read, each replaced by an
// empty one so that line numbers stay. ssh skips such lines too: key types come and go, and one line must not make all
// hosts strangers. A revocation that cannot be read stays an error.
func copyReadable(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	lines := bytes.Split(b, []byte("\n"))
	for i, line := range lines {
		f := strings.Fields(string(line))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") || f[0] == "@revoked" {
			continue
		}
		if f[0] == "@cert-authority" {
			f = f[1:]
		}
		if !readableKey(f) {
			lines[i] = nil
		}
	}
	return os.WriteFile(to, bytes.Join(lines, []byte("\n")), 0o600)
}

// readableKey tells lines that x/crypto takes: host, type, key.
func readableKey(fields []string) bool {
	if len(fields) < 3 {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return false
	}
	key, err := ssh.ParsePublicKey(blob)
	return err == nil && key.Type() == fields[1]
}
