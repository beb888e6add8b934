// Package helper is the part of a transfer that runs on a host, for as long as a push: it keeps the chunks that arrive,
// exchanges them with the helpers of other hosts, and puts whole layers into the host's own engine.
//
// It decides nothing but which peer to ask for what: the rest comes from the controller, over the control connection
// (standard input and output of an SSH session). It ends with that connection, or when nothing was heard for 30 s, and
// leaves no process, no socket, and of its chunks only those that the next run can use. See docs/wire.md.
package helper
