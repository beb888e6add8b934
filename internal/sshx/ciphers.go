package sshx

import (
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// algorithms leaves the weak choices out: x/crypto's defaults still have SHA-1 key exchange and truncated MACs. The
// client's order decides which cipher is used: AES-GCM is several times as fast as the rest where the CPU has AES, and
// without that chacha20-poly1305 is. All stay on the list for hosts that have only some.
func algorithms(aes bool) ssh.Config {
	a := ssh.SupportedAlgorithms()
	return ssh.Config{KeyExchanges: a.KeyExchanges, Ciphers: ciphers(a.Ciphers, aes), MACs: a.MACs}
}

func ciphers(all []string, aes bool) []string {
	first := []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305}
	if !aes {
		first = []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM, ssh.CipherAES256GCM}
	}
	missing := func(c string) bool { return !slices.Contains(all, c) }
	first = slices.DeleteFunc(first, missing) // none that x/crypto leaves out, as in FIPS mode
	rest := slices.DeleteFunc(slices.Clone(all), func(c string) bool { return slices.Contains(first, c) })
	return append(first, rest...)
}

// hasAES tells whether the CPU does AES and what GCM needs, as Go's own AES-GCM uses it.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 ||
		cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAES && cpu.S390X.HasAESGCM
}
