package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ship/internal/docker"
	"ship/transfer/chunk"
	"ship/transfer/peer"
	"ship/transfer/place"
	"ship/transfer/wire"
)

// Silence is how long the controller may say nothing: an sshd that does not probe keeps a dead session for hours.
const Silence = 30 * time.Second

// SocketName is the socket in the run's folder, by which other connections join a running helper.
const SocketName = "sock"

// Options of a helper.
type Options struct {
	Dir     string   // of this run; removed at the end
	Spools  []string // folders for chunks, the first that can be used is, those in memory later; Dir is the last resort
	Engine  docker.Dialer
	Old     string // folder of a helper of the same run, which this one replaces; "" = none
	Program string // our own file, gzipped on its way to other hosts
}

// Serve is the helper: it talks with the controller over in and out until the end of in, a silence or ctx's end.
// A Close of in ends a Read of it, one of out a Write.
func Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser, o Options) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() { _ = os.RemoveAll(o.Dir) }() // the next run has another one
	alive := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	watching.Go(func() {
		watch(ctx, alive, stop)
		_ = in.Close()  // ends the reading of it
		_ = out.Close() // and the writing: nobody may be there who reads
	})
	if err := wire.Greet(out); err != nil {
		return err
	}
	if _, err := wire.Greeted(in); err != nil {
		return err
	}
	s := &session{Options: o, control: wire.NewConn(joined{in, out}), stop: stop, blobs: map[uint32]*blob{}, loads: map[uint32]*load{}}
	err := s.run(ctx, alive)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(nil)
	return err
}

type joined struct {
	io.Reader
	io.Writer
}

// errSilent: the controller is gone without a word.
var errSilent = errors.New("the controller was silent for " + Silence.String())

// watch stops the helper after a silence.
func watch(ctx context.Context, alive <-chan struct{}, stop context.CancelCauseFunc) {
	silence := time.NewTimer(Silence)
	defer silence.Stop()
	for {
		select {
		case <-alive:
			silence.Reset(Silence)
		case <-silence.C:
			stop(errSilent)
			return
		case <-ctx.Done():
			return
		}
	}
}

// session is one helper at work.
type session struct {
	Options
	hello   wire.Hello
	control *wire.Conn
	stop    context.CancelCauseFunc
	store   *chunk.Store
	work    *work // for whole layers, beside the chunks
	node    *peer.Node
	engine  *docker.Client
	outbox  outbox
	tasks   sync.WaitGroup // all goroutines of the session

	mu    sync.Mutex
	blobs map[uint32]*blob
	loads map[uint32]*load
}

// run is the session from the first frame to the last.
func (s *session) run(ctx context.Context, alive chan<- struct{}) error {
	defer func() {
		if s.work != nil {
			s.work.remove()
		}
	}()
	defer s.tasks.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close()
	defer stop()
	l, err := listen(s.Dir)
	if err != nil {
		return err
	}
	s.tasks.Go(func() { s.accept(ctx, l) })
	s.tasks.Go(func() { s.outbox.flush(ctx, s.control, s.stop) })
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		k, p, err := s.control.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case alive <- struct{}{}:
		default:
		}
		if err := s.handle(ctx, k, p); err != nil {
			return err
		}
	}
}

// open answers the controller's hello.
func (s *session) open(ctx context.Context) error {
	k, p, err := s.control.Recv()
	if err != nil {
		return err
	}
	if k != wire.KindHello {
		return fmt.Errorf("%w: kind %d before hello", wire.ErrFrame, k)
	}
	if s.hello, err = wire.Parse[wire.Hello](p); err != nil {
		return err
	}
	if s.hello.Version != wire.Version {
		return fmt.Errorf("the controller speaks version %d, this is %d", s.hello.Version, wire.Version)
	}
	if s.Old != "" {
		replace(ctx, s.Old, s.hello.Run)
	}
	sweep(s.Dir, time.Now())
	var dir string
	if s.store, dir, err = openStore(s.Spools, s.Dir, s.hello.Quota); err != nil {
		return err
	}
	if s.work, err = makeWork(dir); err != nil {
		return errors.Join(err, s.store.Close())
	}
	s.outbox.ready = make(chan struct{}, 1)
	s.node = peer.New(peer.Options{Have: s.outbox.have, Failed: s.outbox.failed})
	s.engine = docker.New(s.Engine)
	w := wire.Welcome{Version: wire.Version, Free: freeSpace(dir)}
	for _, a := range place.LocalAddrs() {
		w.Addrs = append(w.Addrs, a.String())
	}
	return s.control.SendJSON(wire.KindWelcome, w)
}

// openStore opens the first folder that can be used, in the run's own as the last resort. That one is the SSH user's,
// who has also brought the program that runs here: it is not less trusted for running with root's rights.
func openStore(spools []string, run string, quota int64) (*chunk.Store, string, error) {
	var errs []error
	for i, d := range append(onDiskFirst(spools), filepath.Join(run, "spool")) {
		var trusted []int
		if i == len(spools) {
			trusted = owners(run)
		}
		store, err := chunk.Open(d, quota, trusted...)
		if err == nil {
			return store, d, nil
		}
		errs = append(errs, err)
	}
	return nil, "", fmt.Errorf("open chunk store: %w", errors.Join(errs...))
}

func (s *session) close() {
	s.node.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loads {
		l.abort(context.Canceled)
	}
	for _, b := range s.blobs {
		b.Close()
	}
	_ = s.store.Close() // what is not on disk is sent again
	s.engine.Close()
}

func listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// A helper with root's rights is joined by the SSH user's programs; nobody else gets into the folder.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
