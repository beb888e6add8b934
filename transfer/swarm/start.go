package swarm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ship/transfer/wire"
)

// start places the helper, runs it, and exchanges the first words.
func (m *Member) start(ctx context.Context, worth int64) error {
	err := m.place(ctx, worth)
	defer func() {
		if err != nil {
			m.unlink(ctx)
			m.forget(ctx)
		}
	}()
	if err != nil {
		return fmt.Errorf("place helper: %w", err)
	}
	if m.conn, err = m.remote.Start(ctx, true, m.serve()...); err != nil {
		return fmt.Errorf("start helper: %w", err)
	}
	hung := time.AfterFunc(startPatience, func() { _ = m.conn.Close() })
	defer hung.Stop()
	ended := context.AfterFunc(ctx, func() { _ = m.conn.Close() })
	defer ended()
	err = m.hello()
	if err != nil {
		_ = m.conn.Close() // it says no more
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fmt.Errorf("start helper: %w", err)
	}
	return err
}

// serve is the command line of the helper. One that the run has lost is replaced: it may still be there, and have its
// chunks locked.
func (m *Member) serve() []string {
	argv := []string{m.helper.Path, "serve", m.helper.Dir}
	s := m.swarm
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range slices.Backward(s.members) {
		if o.Name == m.Name && o.err != nil {
			return append(argv, o.helper.Dir)
		}
	}
	return argv
}

// startPatience is how long a helper may take to say its first word.
const startPatience = 20 * time.Second

func (m *Member) hello() error {
	if err := wire.Greet(m.conn); err != nil {
		return err
	}
	if _, err := wire.Greeted(m.conn); err != nil {
		return err
	}
	m.control = wire.NewConn(m.conn)
	h := wire.Hello{Version: wire.Version, Run: m.swarm.run, Name: m.Name, Quota: m.swarm.Quota}
	if err := m.control.SendJSON(wire.KindHello, h); err != nil {
		return err
	}
	k, p, err := m.control.Recv()
	if err != nil {
		return err
	}
	if k != wire.KindWelcome {
		return fmt.Errorf("%w: kind %d instead of a welcome", wire.ErrFrame, k)
	}
	if m.welcome, err = wire.Parse[wire.Welcome](p); err != nil {
		return err
	}
	// Starting a program takes longer than a round trip: what that is shows now.
	asked := time.Now()
	if err := m.control.Send(wire.KindPing); err != nil {
		return err
	}
	if k, _, err = m.control.Recv(); err == nil && k != wire.KindPong {
		err = fmt.Errorf("%w: kind %d instead of a pong", wire.ErrFrame, k)
	}
	m.rtt = time.Since(asked)
	if r := m.login.RTT; r > 0 {
		m.rtt = min(m.rtt, r) // a line that is full answers late
	}
	return err
}
