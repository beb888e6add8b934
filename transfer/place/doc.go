// Package place brings the helper program to hosts and lets the helpers of two hosts reach each other, with nothing on
// a host but sh, sshd, gzip and sha256sum. It opens no port and stays within what a hardened sshd allows: no forwarding
// of any kind.
//
// Words. The helper is one executable file, named by its SHA-256; a host keeps it between runs in its folder, and
// forgets versions that nobody used for a month. A run is one push; on each host it has a run folder, where the helper's
// socket is. A grant is a line in the authorized_keys of a host's SSH user that lets one key, for the time of a run,
// start one forced command: to join the helper that runs there, or to place the helper.
package place
