package sshx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/crypto/ssh"
)

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 1 << 20

// identity is a key file. Without a signer it is of use only if an agent holds its key.
type identity struct {
	path    string
	public  ssh.PublicKey // nil if not known
	signer  ssh.Signer    // nil if encrypted or only the public half is there
	certs   []*ssh.Certificate
	problem string // why there is no signer
}

// readIdentity reads a key file, the public key beside it and its certificate. It fails with fs.ErrNotExist if there is
// neither; all else that keeps the key from being used is a problem for the error that lists the keys.
func readIdentity(path string, certificates []string) (identity, error) {
	id := identity{path: path}
	id.public, _ = readPublic(path + ".pub")
	private, err := readSmall(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && id.public != nil:
		id.problem = "only its public key is here, and no agent holds it"
	case err != nil:
		return id, err
	default:
		id.parse(private)
	}
	for _, name := range append([]string{path + "-cert.pub"}, certificates...) {
		key, err := readPublic(name)
		if cert, ok := key.(*ssh.Certificate); err == nil && ok && id.public != nil && same(cert.Key, id.public) {
			id.certs = append(id.certs, cert)
		}
	}
	return id, nil
}

func (id *identity) parse(private []byte) {
	if public, _, _, _, err := ssh.ParseAuthorizedKey(private); err == nil { // IdentityFile may name the public half
		id.public, id.problem = public, "only its public key is here, and no agent holds it"
		return
	}
	if mode := modeOf(id.path); mode&0o077 != 0 {
		id.problem = fmt.Sprintf("its mode %#o lets others read it: chmod 600", mode)
		return
	}
	signer, err := ssh.ParsePrivateKey(private)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		if locked.PublicKey != nil {
			id.public = locked.PublicKey
		}
		id.problem = "encrypted, and no agent holds it: ssh-add it"
	case err != nil: // in our words: x/crypto's may quote the file
		id.problem = "not a private key that can be read"
	default:
		id.signer, id.public = signer, signer.PublicKey()
	}
}

// modeOf is the file's permission bits; 0 where they mean nothing.
func modeOf(path string) fs.FileMode {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" {
		return 0
	}
	return info.Mode().Perm()
}

func readPublic(path string) (ssh.PublicKey, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	return key, err
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s: too large for a key", path)
	}
	return b, err
}

func same(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
