package proxy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handoverVersion is of what a proxy and its successor say to each other. One that speaks another version is none.
const handoverVersion = 1

// maxHanded bounds how many listening sockets are handed over.
const maxHanded = 16

// hello is what a successor says first.
type hello struct {
	Instance string `json:"instance"`
}

// offer is the answer to it: from here on the state is the successor's to read and to write. The listening sockets
// come along with the head of the message, in the order of Listeners.
type offer struct {
	Listeners []handedListener `json:"listeners"`
	Prepared  []handedTarget   `json:"prepared,omitempty"`
}

// handedListener is a listening socket that changes hands.
type handedListener struct {
	Name    string `json:"name"`
	Address string `json:"address"` // as it was asked for, not what came of it
}

// handedTarget is a target that waits for its commit.
type handedTarget struct {
	Token      string    `json:"token"`
	Placed     placed    `json:"placed"`
	Generation int64     `json:"generation"`
	Expires    time.Time `json:"expires"`
}

// verdict ends a hand-over: "ready" is the successor's, "done" or "cancel" what it is answered.
type verdict struct {
	Say string `json:"say"`
}

const (
	sayReady  = "ready"
	sayDone   = "done"
	sayCancel = "cancel"
)

// handoverLink is the connection between a proxy and its successor. Each message is a head of eight bytes, that is
// "SHP", the version, and the length as a big-endian uint32, and so many bytes of JSON.
type handoverLink struct{ *net.UnixConn }

const headSize = 8

func appendHead(b []byte, size int) []byte {
	b = append(b, 'S', 'H', 'P', handoverVersion)
	return binary.BigEndian.AppendUint32(b, uint32(size))
}

// parseHead returns the length of the message that follows.
func parseHead(b [headSize]byte) (size int, err error) {
	if string(b[:3]) != "SHP" {
		return 0, errors.New("this is no proxy of ours")
	}
	if b[3] != handoverVersion {
		return 0, fmt.Errorf("it speaks version %d of the hand-over, this is version %d", b[3], handoverVersion)
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n > maxMessage {
		return 0, fmt.Errorf("a message of %d bytes, at most %d are allowed", n, maxMessage)
	}
	return int(n), nil
}

// send sends one message and the sockets with it. The sockets stay open here too.
func (l handoverLink) send(v any, sockets ...syscall.Conn) error {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("message of %d bytes", len(b))
	}
	if err != nil {
		return err
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, s := range sockets {
		fd, err := duplicate(s)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := l.WriteMsgUnix(appendHead(nil, len(b)), rights, nil); err != nil {
		return err
	}
	_, err = l.Write(b)
	return err
}

// duplicate leaves the mode of the socket alone, which os.File.Fd would not.
func duplicate(s syscall.Conn) (fd int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return 0, e
	}
	return fd, err
}

// receive reads one message. The files that came with it are the caller's to close; on an error there are none.
func (l handoverLink) receive(v any) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	var head [headSize]byte
	rights := make([]byte, unix.CmsgSpace(4*maxHanded))
	n, size, flags, _, err := l.ReadMsgUnix(head[:], rights)
	if err != nil {
		return nil, err
	}
	if files, err = parseRights(rights[:size]); err != nil {
		return files, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return files, fmt.Errorf("more than %d sockets", maxHanded)
	}
	if _, err := io.ReadFull(l, head[n:]); err != nil {
		return files, err
	}
	length, err := parseHead(head)
	if err != nil {
		return files, err
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(l, b); err != nil {
		return files, err
	}
	return files, json.Unmarshal(b, v)
}

func parseRights(b []byte) (files []*os.File, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
