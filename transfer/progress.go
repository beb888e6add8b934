package transfer

import (
	"io"
	"sync"
	"time"

	"ship/internal/event"
	"ship/layers"
	"ship/transfer/wire"
)

// tellEvery is the shortest time between two progress events of a host.
const tellEvery = 100 * time.Millisecond

// progress tells how one host's push goes.
type progress struct {
	emit   event.Func
	host   string
	totals *totals

	mu    sync.Mutex
	done  int64 // compressed bytes of layers
	total int64 // what done will become; an estimate until every layer is read
	told  time.Time
}

func (p *progress) phase(name string) {
	p.emit.Emit(event.Event{Type: event.Phase, Host: p.host, Phase: name})
}

// layer tells a layer's new state; size is in bytes as it is sent, 0 = not known.
func (p *progress) layer(d layers.DiffID, phase, state string, size int64) {
	p.emit.Emit(event.Event{Type: event.Layer, Host: p.host, Phase: phase, Item: d.Short(), Text: state, Total: size})
}

func (p *progress) say(t event.Type, text string) {
	p.emit.Emit(event.Event{Type: t, Host: p.host, Text: text})
}

// expect corrects the total by n bytes.
func (p *progress) expect(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += n
}

func (p *progress) add(n int) {
	p.mu.Lock()
	p.done += int64(n)
	e := event.Event{Type: event.Progress, Host: p.host, Phase: "send", Done: p.done, Total: max(p.done, p.total)}
	tell := time.Since(p.told) >= tellEvery || p.done >= p.total
	if tell {
		p.told = time.Now()
	}
	p.mu.Unlock()
	if tell {
		p.emit.Emit(e)
	}
}

// arrived counts a chunk that came to the host's helper.
func (p *progress) arrived(n int64, from byte) {
	switch from {
	case wire.FromSpool: // it was there: nothing is to be sent
		p.expect(-n)
		return
	case wire.FromUplink:
		p.totals.add(n, 0, 0)
	case wire.FromPeer:
		p.totals.add(0, n, 0)
	}
	p.add(int(n))
}

// saved notes that n bytes less than a whole layer were sent.
func (p *progress) saved(n int64) {
	p.expect(-n)
	p.totals.add(0, 0, n)
}

func (p *progress) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// counted is a blob whose bytes count as progress when they are read, which is when they are sent.
type counted struct {
	io.ReadCloser
	to *progress
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.to.totals.add(int64(n), 0, 0)
	c.to.add(n)
	return n, err
}
