package peer

import (
	"context"
	"errors"
	"net"

	"ship/transfer/chunk"
)

// ErrClosed is what a closed node answers.
var ErrClosed = errors.New("node is closed")

// Options of a Node. The functions must not block; they may be nil.
type Options struct {
	// Have is called after each chunk that is new here, from a peer or, with from empty, through Put.
	Have func(blob uint32, index int, from string)
	// Failed is called once for a blob that cannot be stored any more, a full disk for example. The node asks for no
	// more of it.
	Failed func(blob uint32, err error)
}

// Node is one host's part in the exchange. It is safe for concurrent use.
type Node struct{ o Options }

// New makes a node without links.
func New(o Options) *Node { return &Node{o: o} }

// Add takes part in the exchange of a blob: what is held of it is offered, what is not is asked for.
func (n *Node) Add(id uint32, b *chunk.Blob) {}

// Drop ends taking part in the exchange of a blob. One that is closed drops out by itself.
func (n *Node) Drop(id uint32) {}

// Announced says that more chunks of a blob were announced to it.
func (n *Node) Announced(id uint32) {}

// Put stores a chunk that came from elsewhere than from a peer. Its errors are those of chunk.Blob.Put; a blob that was
// not added is chunk.ErrUnknown.
func (n *Node) Put(id uint32, index int, data []byte) error { return chunk.ErrUnknown }

// Link exchanges chunks with the peer at the other end of c until the connection breaks, ctx ends, or the node is
// closed; it closes c. The error is never nil, and names the peer. Of a peer that sent wrong bytes it is a
// *chunk.BadError, for that link and all later ones of that name.
func (n *Node) Link(ctx context.Context, name string, c net.Conn) error { return ErrClosed }

// Close ends all links, and waits for them.
func (n *Node) Close() {}
