// Package sshx is the link to a host: one SSH connection that runs commands and carries byte streams, with nothing on
// the far side but sshd.
//
// # Words
//
// A spec is what a person writes: an alias of ssh_config, a name or an address, as [user@]host[:port]; IPv6 with a port
// in brackets. A hop is one SSH server on the way: the jump hosts of ProxyJump, then the host itself. A session is one
// remote command on a Client's connection; its stdin and stdout are a Conn. A pin is a host key given by ship.yaml.
//
// # What ssh_config says
//
// An ssh client on the PATH resolves the configuration (`ssh -G`), so that Include, Match (also exec and final) and
// tokens mean what they mean to ssh. Without one the files are read here; a Match that is not plain is then refused.
// Honoured: HostName, User, Port, IdentityFile, CertificateFile, IdentitiesOnly, IdentityAgent, UserKnownHostsFile,
// GlobalKnownHostsFile, HostKeyAlias, ProxyJump, ProxyCommand, ConnectTimeout, ServerAliveInterval,
// AddressFamily, BindAddress. Refused, because leaving it out would weaken the check: RevokedHostKeys. What only concerns
// a person at a terminal is not looked at.
//
// For user, port and jump: the spec wins over an explicit entry of ssh_config, that over Options (ship.yaml), and that
// over ssh's own default. Options.User, Port and Jump are about the host, not about its jump hosts. An interval or
// timeout in Options wins over ssh_config; without one, ServerAliveInterval can only make us notice sooner.
//
// # Trust
//
// Every hop's key is checked, always: against its pin if it has one and nothing else, otherwise against known_hosts.
// An unknown key is refused and shown with the line that would admit it; a changed or revoked key is a stop. No entry
// of ssh_config makes this weaker, StrictHostKeyChecking=no included. The key types asked for are those that are known,
// since a host has several keys and known_hosts often holds one of them.
//
// Nothing prompts. Keys come from Options.Identities, then the agent, then the files of ssh_config; a certificate
// beside a key is offered before the key. An encrypted key file works through an agent only.
//
// # Speed
//
// The ciphers are asked for in the order that suits our CPU, see algorithms. A session has a window of 2 MiB, so it
// carries that much in a round trip at most: on a line of 100 Mbit/s one is enough up to 160 ms, on 1 Gbit/s up to 16
// ms; beyond that it takes several sessions. RTT tells how long a round trip is.
//
// A Limiter holds back what all its connections send together; what they receive is not limited. A write that it delays
// is no sign of a dead host.
//
// # Hosts that are short of something
//
// A host that refuses a session, because of its MaxSessions, is asked again when one of ours has ended; until then the
// command waits, as it does when as many run as Options allow. What waits for more than a second because of the host
// gets another connection to it, as with ssh; all of them end together, and to our users they are one Client. Only a
// host that opens no session at all for the grace is an error.
//
// A connection that is dropped before the login (MaxStartups, PerSourcePenalties, an sshd that starts anew) is tried
// again with pauses that grow and differ, within the connect timeout: 8 times if sshd says MaxStartups, 3 times
// otherwise. A port that is closed and a login that is refused are not tried again.
//
// # Ends
//
// A host that answers nothing is an error in seconds, at every stage: the connect timeout covers TCP, handshake and
// authentication of a hop; later, three keepalives in a row without an answer close the connection, and everything
// pending fails with ErrLinkLost. Bytes that still move count as an answer: a slow line full of our data is not dead.
//
// Cancelling closes the command's stdin, waits a grace of two seconds, sends it TERM (sshd passes that on for logins
// other than root only), then closes the channel. OpenSSH does not stop a command whose channel closed, so remote
// commands have to end by themselves when stdin ends.
//
// Login shells print greetings, and some hosts have a shell that does so without a terminal: whoever reads stdout
// looks for a magic word first and ignores what stands before it. The login shell has to understand single quotes and
// backslashes as sh does: sh, dash, bash, busybox, zsh and fish do.
package sshx
