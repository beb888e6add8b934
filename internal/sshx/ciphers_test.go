package sshx

import (
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestCiphersFollowTheCPU(t *testing.T) {
	all := ssh.SupportedAlgorithms().Ciphers
	for aes, first := range map[bool]string{true: ssh.CipherAES128GCM, false: ssh.CipherChaCha20Poly1305} {
		got := algorithms(aes).Ciphers
		if got[0] != first {
			t.Errorf("AES %v: %v", aes, got)
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(all)); !slices.Equal(got, want) {
			t.Errorf("AES %v: got %v, want all of %v", aes, got, want)
		}
	}
	if got := ciphers([]string{ssh.CipherAES256GCM, ssh.CipherAES128CTR}, false); !slices.Equal(got, []string{ssh.CipherAES256GCM, ssh.CipherAES128CTR}) {
		t.Errorf("got %v, which has what the list leaves out", got)
	}
}

// A host that has only one cipher gets it, whatever we like best.
func TestCiphersOfTheHost(t *testing.T) {
	t.Parallel()
	for _, only := range []string{"aes128-ctr", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"} {
		c := newServer(t, "Ciphers "+only).dial(t)
		if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}}); err != nil {
			t.Errorf("%s: %v", only, err)
		}
	}
}
