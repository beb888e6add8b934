package peer

import (
	"net"
	"sync/atomic"
	"time"
)

// meter notes when bytes last went over a connection: a chunk on a slow line takes long without being silent.
type meter struct {
	net.Conn
	start         time.Time
	read, written atomic.Int64 // nanoseconds after start
	writing       atomic.Bool
}

// meterPiece is what is written at once, in bytes, so that progress within a chunk is seen.
const meterPiece = 64 << 10

func newMeter(c net.Conn) *meter { return &meter{Conn: c, start: time.Now()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if n > 0 {
		m.read.Store(int64(time.Since(m.start)))
	}
	return n, err
}

func (m *meter) Write(p []byte) (int, error) {
	m.written.Store(int64(time.Since(m.start)))
	m.writing.Store(true)
	defer m.writing.Store(false)
	done := 0
	for done < len(p) {
		n, err := m.Conn.Write(p[done:min(len(p), done+meterPiece)])
		done += n
		if err != nil {
			return done, err
		}
		m.written.Store(int64(time.Since(m.start)))
	}
	return done, nil
}

func (m *meter) lastRead() time.Time    { return m.start.Add(time.Duration(m.read.Load())) }
func (m *meter) lastWritten() time.Time { return m.start.Add(time.Duration(m.written.Load())) }
