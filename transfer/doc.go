// Package transfer brings one image to many hosts, into `docker load`, sending each host only the layers it lacks.
//
// Words. To ask a host is to find out what it holds of an image. A plan says, per host, which layers go in which
// loads, or why the host is refused. A load is one `docker load`: every load but the last makes a part, the image of
// the lowest layers under a temporary tag, whose only purpose is that its layers stay; the last load makes the image
// itself, also under a temporary tag, which becomes the real one after the image was verified. A host that lost its
// link keeps its parts, and the next run finds their layers held.
package transfer
