// Package lab runs real Docker hosts on one Linux machine, as root, without images, registry or virtual machines.
//
// A host is a set of Linux namespaces (network, mount, pid, uts, ipc, cgroup) with its own address, OpenSSH's sshd
// on port 22 and a dockerd of its own. Its root is an overlay over an engine: a root file system of a Debian suite
// with that suite's docker.io, made once by debootstrap and kept outside the tree. The hosts hang on a switch, a
// bridge in a namespace of its own, which counts and cuts. The machine itself is the controller, at .1 of the subnet.
//
// Pid 1 of a host is the running program itself, started again: main, or TestMain, must call [Init] first.
//
//	func TestMain(m *testing.M) { lab.Init(); os.Exit(m.Run()) }
//
// A lab belongs to the process that made it and ends with it: the hosts notice the death of their owner and stop at
// once, the next [Up] or [Sweep] removes what is left. A lab with [Options].Keep outlives its maker.
//
// Where things lie may be set by environment: SHIPLAB_DIR (the labs), SHIPLAB_CACHE (the engines).
package lab
