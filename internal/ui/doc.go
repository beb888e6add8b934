// Package ui shows events to people and machines. Only cmd imports it.
//
// Results go to stdout, narration to stderr. On a terminal a frame of live lines, one a host, is drawn anew by a
// ticker, and finished lines scroll above it. In plain mode, for logs, there is a line at each change. With JSON there
// is one object a line on stdout; each has "v" and "type", the last one is the result.
//
// A host's bytes have a speed, of the last seconds, and a time left, of the last quarter of a minute, since bytes come
// in chunks. Where nothing moved for more than 5 seconds that is said instead. The total line has both for all hosts,
// and where the bytes came from: the controller's uplink, other hosts, or a patch that made them unnecessary.
//
// Whoever emits never waits for a screen: an event changes counters and is gone. And whatever the text, it cannot
// speak to the terminal or to the CI runner that reads the log: control characters and workflow commands are taken out.
package ui
