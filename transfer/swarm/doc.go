// Package swarm is the controller's side of a transfer through helpers: it sends every chunk of every blob once, to some
// host that wants it, and lets the helpers exchange the rest among themselves.
//
// Words. A member is a host whose helper runs. A blob is wanted by members, made by its source (here, or on a member
// that holds the layer already), and cut into chunks as it grows. Members that can reach each other, directly or
// through others that want the same blob, are an island of that blob: each island is sent each chunk once. A member
// that shows no life is suspect: what only it has counts as lost until it is heard again.
package swarm
