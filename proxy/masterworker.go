package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// keeper is a worker's master. All methods may be called on nil: then there is none.
type keeper struct {
	link  handoverLink
	heard chan error    // an answer, or why there is none
	ended chan struct{} // the master is gone
	again int           // how often it has started a worker again
}

const keeperPatience = 5 * time.Second

// findKeeper takes the sockets that the master holds. It returns nil if f is.
func findKeeper(f *os.File) (*keeper, map[handedListener]net.Listener, error) {
	if f == nil {
		return nil, nil, nil
	}
	link, err := linkOf(f)
	if err != nil {
		return nil, nil, fmt.Errorf("find the master: %w", err)
	}
	var k keeping
	files, err := link.receive(&k)
	defer closeAll(files) // net.FileListener takes copies
	held := map[handedListener]net.Listener{}
	if err == nil && len(files) != len(k.Listeners) {
		err = fmt.Errorf("%d sockets came for %d names", len(files), len(k.Listeners))
	}
	for i := 0; err == nil && i < len(files); i++ {
		held[k.Listeners[i]], err = net.FileListener(files[i])
	}
	if err != nil {
		closeListeners(held)
		return nil, nil, errors.Join(fmt.Errorf("hear the master: %w", err), link.Close())
	}
	keep := &keeper{link: link, heard: make(chan error, 1), ended: make(chan struct{}), again: k.Restarts}
	go keep.listen()
	return keep, held, nil
}

// listen ends with the link: close waits for it.
func (k *keeper) listen() {
	defer close(k.ended)
	for {
		var v verdict
		_, err := k.link.receive(&v)
		if err == nil && v.Say != sayDone {
			err = fmt.Errorf("the master says %.20q", v.Say)
		}
		select {
		case k.heard <- err:
		default: // nobody has asked
		}
		if err != nil {
			return
		}
	}
}

// with ends the context when the master does.
func (k *keeper) with(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if k == nil {
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-k.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// keep gives the master the sockets to hold, in place of those it has.
func (k *keeper) keep(names []handedListener, sockets ...syscall.Conn) error {
	return k.tell(keeping{Listeners: names}, sockets...)
}

// leave tells the master that there will be no next worker.
func (k *keeper) leave() error { return k.tell(keeping{Leaving: true}) }

func (k *keeper) tell(m keeping, sockets ...syscall.Conn) error {
	if k == nil {
		return nil
	}
	if err := k.link.send(m, sockets...); err != nil {
		return fmt.Errorf("tell the master: %w", err)
	}
	select {
	case err := <-k.heard:
		return err
	case <-time.After(keeperPatience):
		return errors.New("tell the master: no answer")
	}
}

func (k *keeper) restarts() int {
	if k == nil {
		return 0
	}
	return k.again
}

func (k *keeper) close() {
	if k != nil {
		_ = k.link.Close()
		<-k.ended
	}
}

func closeListeners(all map[handedListener]net.Listener) {
	for _, l := range all {
		_ = l.Close()
	}
}
