//go:build !unix

package layers

import "os"

// lockFile does nothing where there is no flock: two processes at once may then do the same work twice, and what a
// killed one left is not cleaned up.
func lockFile(_ *os.File, wait bool) (bool, error) { return wait, nil }
