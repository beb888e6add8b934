// Package docker speaks the part of the Docker Engine API that ship uses, over any connection: a unix socket here, or
// the stdio of `docker system dial-stdio` on a host. It needs no Docker CLI, no client library and no registry: nothing
// in it can make an engine pull.
//
// Words. An engine is one dockerd. It keeps images in one of two image stores: a graph driver (layers unpacked by chain
// ID) or the containerd store (compressed blobs by digest, plus snapshots). The content service is the read-only window
// an engine gives on the blobs of its containerd store. A reference (ref) is what names an image: repo:tag, or an ID.
//
// Requests carry no API version, so each engine (20.10, API 1.41, to 29) speaks its own newest; the fields read here
// mean the same in all of them. What an engine says is untrusted: every answer is bounded, and text meant for people is
// cut to a sane length and freed of control characters.
package docker
