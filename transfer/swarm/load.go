package swarm

import (
	"context"
	"fmt"
	"io"

	"ship/internal/docker"
	"ship/internal/plain"
	"ship/transfer/wire"
)

// BaseError is the error of a load for which the host could not make a layer from an older one.
type BaseError struct{ Reason string }

func (e *BaseError) Error() string { return "make layer from an older one: " + e.Reason }

// Load streams an archive in pieces (wire.PieceWriter) into the engine of the member's host, as docker.Client.LoadImage
// does with a whole one: with the same errors for what the engine answers.
func (m *Member) Load(ctx context.Context, r io.Reader) (docker.LoadResult, error) {
	done := make(chan wire.Loaded, 1)
	m.mu.Lock()
	m.lastID++
	id := m.lastID
	m.loads[id] = done
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.loads, id)
		m.mu.Unlock()
	}()
	m.say(func(c *wire.Conn) error { return c.SendID(wire.KindLoad, id) })
	sent := make(chan error, 1)
	go func() { sent <- m.sendPieces(id, r) }()
	var res docker.LoadResult
	var err error
	select {
	case l, ok := <-done:
		if res, err = loaded(l); !ok {
			err = m.gone()
		}
	case err = <-sent:
		sent <- nil // for below
		if err == nil {
			res, err = m.await(ctx, id, done)
		}
	case <-m.over:
		err = m.gone()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		m.say(func(c *wire.Conn) error { return c.SendID(wire.KindAbort, id) })
	}
	closeWith(r, err)
	<-sent
	return res, err
}

func (m *Member) await(ctx context.Context, id uint32, done <-chan wire.Loaded) (docker.LoadResult, error) {
	m.say(func(c *wire.Conn) error { return c.SendID(wire.KindLoadEnd, id) })
	select {
	case l, ok := <-done:
		if !ok {
			return docker.LoadResult{}, m.gone()
		}
		return loaded(l)
	case <-m.over:
		return docker.LoadResult{}, m.gone()
	case <-ctx.Done():
		return docker.LoadResult{}, context.Cause(ctx)
	}
}

// closeWith ends the producer of r, where it can be told.
func closeWith(r io.Reader, err error) {
	switch c := r.(type) {
	case interface{ CloseWithError(error) error }:
		_ = c.CloseWithError(err) // never fails
	case io.Closer:
		_ = c.Close() // it is read to its end, or of no use
	}
}

// sendPieces passes the archive on as it comes.
func (m *Member) sendPieces(id uint32, r io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			p := append([]byte(nil), buf[:n]...)
			m.say(func(c *wire.Conn) error { return c.SendID(wire.KindLoadData, id, p) })
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load image: read archive: %w", err)
		}
	}
}

func loaded(l wire.Loaded) (docker.LoadResult, error) {
	switch {
	case l.Error == "":
		return docker.LoadResult{Refs: l.Refs, IDs: l.IDs}, nil
	case l.Base:
		return docker.LoadResult{}, &BaseError{plain.Line(l.Error, maxSaid)}
	case l.Answer:
		return docker.LoadResult{}, &docker.LoadError{Message: plain.Line(l.Error, maxSaid)}
	}
	return docker.LoadResult{}, fmt.Errorf("load image: %w", said(l.Error))
}

func (m *Member) gone() error {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	if m.err == nil {
		return ErrGone
	}
	return m.err
}
