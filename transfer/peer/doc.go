// Package peer exchanges chunks between the helpers of hosts, so that each leaves the controller once.
//
// Words. A node is one host's part in it. A link is a connection with another node, of which each asks the other for
// chunks and gives it those it is asked for. Blobs have numbers, the same on all hosts of a run. A node wants the blobs
// that were added to it, and asks for a chunk once its digest is known, which the controller says to each host.
//
// Each node decides for itself what to ask whom for: what fewest of its neighbours have comes first, four chunks at a
// time from each. What is late is asked of somebody else as well, which stands in for noticing that a host is slow or
// dead; a slow one is asked for less, but never for nothing. Whatever a peer sends is checked against the digest; one
// that sends wrong bytes is not spoken to again. See docs/wire.md.
package peer
