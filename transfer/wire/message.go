package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// What the controller says to a helper, on the control connection.
const (
	KindHello    Kind = 1  // Hello
	KindOpen     Kind = 2  // Open
	KindAnnounce Kind = 3  // Announce: digests of chunks of an open blob
	KindFinish   Kind = 4  // Finish: the blob's size
	KindPeer     Kind = 5  // Peer: link to another helper
	KindPlace    Kind = 6  // Peer: give another host the helper program
	KindLoad     Kind = 7  // ID: a `docker load` begins
	KindLoadData Kind = 8  // Data: of its archive, see Piece
	KindLoadEnd  Kind = 9  // ID: the archive is whole
	KindAbort    Kind = 10 // ID: of a load, which shall not happen
	KindProduce  Kind = 11 // Produce: make a blob of what the host's engine holds
	KindDrop     Kind = 12 // ID: of a blob nobody needs any more
	KindPing     Kind = 13 // nothing
	KindRead     Kind = 14 // Chunk without data: send it up
	KindSign     Kind = 15 // Sign: describe a layer that the host's engine holds
)

// What a helper says to the controller.
const (
	KindWelcome  Kind = 64 // Welcome
	KindHave     Kind = 65 // Have: chunks that are new on the host
	KindSeen     Kind = 66 // Seen: announced chunks whose presence has been told
	KindLoaded   Kind = 67 // Loaded
	KindLinked   Kind = 68 // Linked
	KindPlaced   Kind = 69 // Linked: the outcome of a Place
	KindProduced Kind = 70 // Announce: digests of chunks that it made
	KindMade     Kind = 71 // Finish: it made all
	KindFailed   Kind = 72 // Failed
	KindPong     Kind = 73 // nothing
	KindChunkUp  Kind = 74 // Chunk: the answer to Read
	KindSigned   Kind = 75 // Data: of the answer to Sign
	KindSignEnd  Kind = 76 // Failed, with an empty Error if all is well
	KindForm     Kind = 77 // Form: before it makes a blob
)

// KindChunk is all that comes on a data connection to a helper, after the Join: a Chunk.
const KindChunk Kind = 128

// SumSize is the size of a chunk's digest, SHA-256.
const SumSize = 32

// Hello opens the control conversation.
type Hello struct {
	Version int    `json:"version"`
	Run     string `json:"run"`   // distinct for each push
	Name    string `json:"name"`  // of this host, for its peers
	Quota   int64  `json:"quota"` // bytes of chunks that may be kept between runs
}

// Welcome is the answer to Hello.
type Welcome struct {
	Version int      `json:"version"`
	Free    int64    `json:"free"`  // bytes, where chunks are kept; -1 = not known
	Addrs   []string `json:"addrs"` // IP addresses of the host
}

// Open names a blob of this run.
type Open struct {
	Blob uint32 `json:"blob"`
	Name string `json:"name"` // the same in every run
}

// Announce are the digests of chunks First and following of a blob.
type Announce struct {
	Blob, First uint32
	Sums        [][SumSize]byte
}

// Finish is a blob's size in bytes and its digest, once they are known: there are no more chunks than announced.
type Finish struct {
	Blob   uint32
	Size   int64
	Digest [SumSize]byte
}

// Chunk is up to 1 MiB of a blob.
type Chunk struct {
	Blob, Index uint32
	Data        []byte
}

// Origins of a chunk.
const (
	FromSpool  byte = 0 // an earlier run, or the host's own engine
	FromUplink byte = 1 // the controller
	FromPeer   byte = 2
)

// Have are chunks of one blob that a host has got.
type Have struct {
	Blob  uint32
	Items []HaveItem
}

// HaveItem is one chunk of a Have.
type HaveItem struct {
	Index uint32
	From  byte
}

// Seen tells that what a host has of the chunks below Upto, it has told.
type Seen struct{ Blob, Upto uint32 }

// Peer says how to reach another host.
type Peer struct {
	Name    string   `json:"name"`
	User    string   `json:"user"`
	Addrs   []string `json:"addrs"`    // IP:port, to be tried at once
	HostKey []byte   `json:"host_key"` // as on the wire
	Key     []byte   `json:"key"`      // seed of the ed25519 key to log in with; lives in memory, for this run
}

// Linked tells what became of a link, or of placing the helper.
type Linked struct {
	Peer  string `json:"peer"`
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"` // why not, or why not any more
}

// Produce asks for a blob made of a layer that the host's engine holds.
type Produce struct {
	Blob   uint32 `json:"blob"`
	DiffID string `json:"diff_id"`
	Zstd   bool   `json:"zstd"` // may be used; else gzip is
}

// Form tells how a blob that is to be made will be compressed: a layer that is stored with gzip stays so.
type Form struct {
	Blob uint32 `json:"blob"`
	Zstd bool   `json:"zstd"` // or gzip
}

// Sign asks for the signature of a layer; see package delta. ID names the answer.
type Sign struct {
	ID     uint32 `json:"id"`
	Image  string `json:"image"`
	DiffID string `json:"diff_id"`
}

// Loaded is the outcome of a load.
type Loaded struct {
	ID    uint32   `json:"id"`
	Refs  []string `json:"refs,omitempty"`
	IDs   []string `json:"ids,omitempty"`
	Error string   `json:"error,omitempty"`
	// Answer: the engine itself refused, with Error; else it could not be asked, or the archive could not be read.
	Answer bool `json:"answer,omitempty"`
	// Base: a patch could not be applied, for what it starts from is gone or other than said.
	Base bool `json:"base,omitempty"`
}

// Failed tells that a blob, or what ID names, will not come.
type Failed struct {
	ID    uint32 `json:"id"`
	Error string `json:"error,omitempty"`
	Full  bool   `json:"full,omitempty"` // no space left on the disk
}

// SendJSON sends v as a frame.
func (c *Conn) SendJSON(k Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(k, b)
}

// Parse reads a JSON payload.
func Parse[T any](payload []byte) (T, error) {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return v, nil
}

func pair(a, b uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, a), b)
}

func unpair(p []byte) (a, b uint32, rest []byte, err error) {
	if len(p) < 8 {
		return 0, 0, nil, fmt.Errorf("%w: %d bytes", ErrFrame, len(p))
	}
	return binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]), p[8:], nil
}

// MaxSums is how many digests fit into one Announce.
const MaxSums = 16 << 10

// SendAnnounce sends digests as kind k, in as many frames as it takes.
func (c *Conn) SendAnnounce(k Kind, a Announce) error {
	for len(a.Sums) > 0 {
		n := min(len(a.Sums), MaxSums)
		b := pair(a.Blob, a.First)
		for _, s := range a.Sums[:n] {
			b = append(b, s[:]...)
		}
		if err := c.Send(k, b); err != nil {
			return err
		}
		a.First, a.Sums = a.First+uint32(n), a.Sums[n:]
	}
	return nil
}

// ParseAnnounce reads an Announce.
func ParseAnnounce(p []byte) (Announce, error) {
	blob, first, rest, err := unpair(p)
	if err != nil || len(rest)%SumSize != 0 {
		return Announce{}, fmt.Errorf("%w: announce of %d bytes", ErrFrame, len(p))
	}
	a := Announce{Blob: blob, First: first, Sums: make([][SumSize]byte, len(rest)/SumSize)}
	for i := range a.Sums {
		copy(a.Sums[i][:], rest[i*SumSize:])
	}
	return a, nil
}

// SendFinish sends a Finish as kind k.
func (c *Conn) SendFinish(k Kind, f Finish) error {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, f.Blob), uint64(f.Size))
	return c.Send(k, b, f.Digest[:])
}

// ParseFinish reads a Finish.
func ParseFinish(p []byte) (Finish, error) {
	if len(p) != 12+SumSize || p[4]&0x80 != 0 {
		return Finish{}, fmt.Errorf("%w: finish of %d bytes", ErrFrame, len(p))
	}
	f := Finish{Blob: binary.BigEndian.Uint32(p), Size: int64(binary.BigEndian.Uint64(p[4:]))}
	copy(f.Digest[:], p[12:])
	return f, nil
}

// SendChunk sends a Chunk as kind k.
func (c *Conn) SendChunk(k Kind, x Chunk) error { return c.Send(k, pair(x.Blob, x.Index), x.Data) }

// ParseChunk reads a Chunk, whose Data is part of p.
func ParseChunk(p []byte) (Chunk, error) {
	blob, index, rest, err := unpair(p)
	return Chunk{Blob: blob, Index: index, Data: rest}, err
}

// SendHave sends a Have.
func (c *Conn) SendHave(h Have) error {
	b := binary.BigEndian.AppendUint32(nil, h.Blob)
	for _, i := range h.Items {
		b = append(binary.BigEndian.AppendUint32(b, i.Index), i.From)
	}
	return c.Send(KindHave, b)
}

// ParseHave reads a Have.
func ParseHave(p []byte) (Have, error) {
	const item = 5
	if len(p) < 4 || (len(p)-4)%item != 0 {
		return Have{}, fmt.Errorf("%w: have of %d bytes", ErrFrame, len(p))
	}
	h := Have{Blob: binary.BigEndian.Uint32(p)}
	for p = p[4:]; len(p) > 0; p = p[item:] {
		h.Items = append(h.Items, HaveItem{Index: binary.BigEndian.Uint32(p), From: p[4]})
	}
	return h, nil
}

// SendSeen sends a Seen.
func (c *Conn) SendSeen(s Seen) error { return c.Send(KindSeen, pair(s.Blob, s.Upto)) }

// ParseSeen reads a Seen.
func ParseSeen(p []byte) (Seen, error) {
	blob, upto, rest, err := unpair(p)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: seen of %d bytes", ErrFrame, len(p))
	}
	return Seen{blob, upto}, err
}

// SendID sends a number, with data after it, as kind k.
func (c *Conn) SendID(k Kind, id uint32, data ...[]byte) error {
	return c.Send(k, append([][]byte{binary.BigEndian.AppendUint32(nil, id)}, data...)...)
}

// ParseID reads a number and what comes after it, which is part of p.
func ParseID(p []byte) (id uint32, data []byte, err error) {
	if len(p) < 4 {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrFrame, len(p))
	}
	return binary.BigEndian.Uint32(p), p[4:], nil
}
