package wire

import (
	"encoding/json"
	"fmt"
	"io"
)

// Join is the first line on a connection that joins a running helper; the greetings follow.
type Join struct {
	Run  string `json:"run"`
	Role string `json:"role"`           // RoleData or RolePeer
	Name string `json:"name,omitempty"` // of a peer
}

// Roles of a Join.
const (
	RoleData = "data" // chunks from the controller follow, as frames of KindChunk
	RolePeer = "peer" // package peer's conversation follows
	// RoleLeave tells the helper to end: another one of the same run takes its place. Nothing follows.
	RoleLeave = "leave"
)

// maxJoin bounds the line in bytes.
const maxJoin = 4 << 10

// SendJoin writes the line.
func SendJoin(w io.Writer, j Join) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// ReadJoin reads the line and no byte further.
func ReadJoin(r io.Reader) (Join, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxJoin {
		if _, err := io.ReadFull(r, one); err != nil {
			return Join{}, unexpected(err)
		}
		if one[0] == '\n' {
			return Parse[Join](line)
		}
		line = append(line, one[0])
	}
	return Join{}, fmt.Errorf("%w: a first line of more than %d bytes", ErrFrame, maxJoin)
}
