// Package orchestrate deploys one service to a fleet of hosts: observe → plan (pure) → execute.
//
// Words. A release is one image with the settings its containers run with; its ID is the first twelve hex digits of
// the image's config digest. A unit is one role of the service on one host: one container. A generation is the
// fencing number of a run: every run that may act holds a lease on every host and has a higher generation than all
// runs before it. A container is committed once its host has been switched to it; until then its restart policy is
// "no", so that neither a reboot nor a crash brings back what never served. Cutover is commit on every host, group by
// group; undo takes committed hosts back. The old containers keep running until the whole fleet has committed: that
// is what makes undo instant, and the fleet all new or all old.
//
// There is no journal beside the containers. What a killed run leaves can be read off the hosts: labels say which
// release a container belongs to, the restart policy whether it was committed, the proxy which one serves. The next
// run plans from that, and so finishes or removes what it finds.
package orchestrate
