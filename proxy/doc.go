// Package proxy is the gate in front of the app containers of a host, and the client that controls it.
//
// Words. A service is a set of routes (host names and a path prefix) with one active target. A target is one
// container's address. Prepare adds a target and answers when it is healthy; commit makes it the active one, and what
// was active the previous one; undo goes back to what served before the run; drain waits until a target that is no
// longer active has no request in flight, or ends what still is at a deadline. A generation is the fencing number of
// the run that asks: a lower one than a service has seen is stale, and refused.
//
// A request claims its target when it is routed and keeps it to its end. Routing reads one immutable snapshot, so
// a switch is one pointer's change: no request sees half of it, and none waits for it. A target that is left turns away
// whoever comes with an older snapshot, and they route again; so a target that was seen empty stays empty.
//
// A proxy hands over to its successor: a process that starts with the same state folder. One of them at a time may write
// the state. A proxy that has handed over is a rest until its last request has ended; its successors tell it of each
// switch, and count its requests at each drain. A worker is a proxy whose master, another process, holds its sockets
// and starts it again when it dies.
//
// State is one file per service, replaced atomically and synced before a commit is acknowledged. A service whose file
// cannot be read does not serve, and says so; all others do.
package proxy
