// Package wire is how the parts of a transfer talk: the controller with the helper on a host, and helpers with each
// other. See docs/wire.md.
//
// Words. A frame is one message: a kind, a length, a payload. A greeting comes before all frames, because login shells
// print. A chunk is up to 1 MiB of a blob, named by the blob's number in this run and its own index.
package wire
