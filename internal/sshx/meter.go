package sshx

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts the bytes of a connection, and keeps to a limit when it sends.
type meter struct {
	net.Conn
	limit         *Limiter
	read, written atomic.Int64
	held          atomic.Bool // a write waits for the limit
	greeting      greeting

	short      int // bytes of short writes in the second that began at shortSince
	shortSince time.Time

	once sync.Once
	gone chan struct{} // closed by Close
}

func newMeter(conn net.Conn, limit *Limiter) *meter {
	return &meter{Conn: conn, limit: limit, gone: make(chan struct{})}
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.greeting.note(p[:n])
	m.read.Add(int64(n))
	return n, err
}

// Write sends p, in pieces where there is a limit. x/crypto has one write of a connection at a time.
func (m *meter) Write(p []byte) (int, error) {
	if m.limit == nil {
		n, err := m.Conn.Write(p)
		m.written.Add(int64(n))
		return n, err
	}
	sent, urgent := 0, m.urgent(len(p))
	for sent < len(p) {
		piece := p[sent:]
		if !urgent {
			piece = piece[:min(len(piece), m.limit.piece)]
		}
		m.held.Store(true)
		err := m.limit.wait(len(piece), urgent, m.gone)
		m.held.Store(false)
		if err != nil {
			return sent, err
		}
		n, err := m.Conn.Write(piece)
		sent += n
		m.written.Add(int64(n))
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// urgent tells whether a write of n bytes may go before the others': short ones, while they are few.
func (m *meter) urgent(n int) bool {
	if n > urgentSize {
		return false
	}
	if now := time.Now(); now.Sub(m.shortSince) > time.Second {
		m.short, m.shortSince = 0, now
	}
	m.short += n
	return m.short <= max(urgentLeast, int(m.limit.rate)/urgentShare)
}

// Close ends the connection, and the wait of a write for its turn.
func (m *meter) Close() error {
	m.once.Do(func() { close(m.gone) })
	return m.Conn.Close()
}
