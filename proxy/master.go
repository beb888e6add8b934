package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// WorkerFile is the descriptor that a worker finds its master at; see [Options].
const WorkerFile = 3

// Guard runs a proxy as a process of its own and starts it again when it dies. It holds the proxy's listening sockets,
// so that connections wait for the next worker instead of being refused, and does nothing else that could go wrong.
// command makes the worker's command: a program that calls [Run] with a Master. Guard returns when ctx has ended, when a
// successor has taken over, or when the worker does not come up; the error is what the last worker ended with.
func Guard(ctx context.Context, command func() *exec.Cmd, log *slog.Logger) error {
	m := &master{log: log}
	defer m.drop()
	for quick := 0; ; {
		begin := time.Now()
		m.up = false
		err := m.work(ctx, command())
		if ctx.Err() != nil || m.leaving || !m.held {
			return err
		}
		switch {
		case time.Since(begin) > calm:
			quick = 0
		case quick >= maxQuick && !m.up:
			return err
		default:
			quick++
		}
		log.Error("the worker has died and is started again", "error", err)
		m.restarts++
		if quick > atOnce {
			pause(ctx, min(calm, 10*time.Millisecond<<(quick-atOnce)))
		}
	}
}

const (
	calm     = time.Second // a worker that lived so long was well
	atOnce   = 5           // of workers in a row that were not; the next ones are started after a pause
	maxQuick = 12          // of workers in a row that did not even come up; then it is time for a new container
)

// master is what Guard keeps. One goroutine at a time touches it, but for what the lock guards.
type master struct {
	log *slog.Logger

	mu    sync.Mutex
	names []handedListener
	files []*os.File // the same order
	over  bool       // none is held any more

	held     bool // there was a worker that served
	up       bool // the one that runs does
	restarts int
	leaving  bool // a successor has taken over
}

// keeping is the only message between a master and its worker. The sockets come with it.
type keeping struct {
	Listeners []handedListener `json:"listeners,omitempty"`
	Leaving   bool             `json:"leaving,omitempty"`
	Restarts  int              `json:"restarts,omitempty"` // of workers, the first one left out
}

// work runs one worker to its end.
func (m *master) work(ctx context.Context, cmd *exec.Cmd) error {
	link, other, err := socketPair()
	if err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer func() { _ = link.Close() }()
	cmd.ExtraFiles = []*os.File{other}
	err = cmd.Start()
	_ = other.Close()
	if err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		m.drop()                                // or connections would wait for nobody
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	})
	defer stop()
	for err = m.lend(link); err == nil; {
		err = m.heed(link)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		m.log.Error("the worker says what its master does not understand", "error", err)
		_ = cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// lend gives a new worker what the one before has left.
func (m *master) lend(link handoverLink) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	conns := make([]syscall.Conn, len(m.files))
	for i, f := range m.files {
		conns[i] = f
	}
	return link.send(keeping{Listeners: m.names, Restarts: m.restarts}, conns...)
}

// heed does what the worker's next message asks for.
func (m *master) heed(link handoverLink) error {
	var k keeping
	files, err := link.receive(&k)
	if err != nil {
		return err
	}
	if len(files) != len(k.Listeners) {
		closeAll(files)
		return fmt.Errorf("%d sockets came for %d names", len(files), len(k.Listeners))
	}
	m.hold(k.Listeners, files)
	m.leaving, m.held, m.up = k.Leaving, m.held || !k.Leaving, true
	return link.send(verdict{sayDone})
}

// hold keeps the files instead of those of before.
func (m *master) hold(names []handedListener, files []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	closeAll(m.files)
	m.names, m.files = names, files
	if m.over {
		closeAll(files)
		m.names, m.files = nil, nil
	}
}

// drop lets go of all files, for good.
func (m *master) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	closeAll(m.files)
	m.names, m.files, m.over = nil, nil, true
}

// socketPair returns our end, and the worker's.
func socketPair() (link handoverLink, other *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return link, nil, err
	}
	for _, fd := range fds { // no child but the worker shall have them, and that by its own way
		unix.CloseOnExec(fd)
	}
	other = os.NewFile(uintptr(fds[1]), "worker")
	link, err = linkOf(os.NewFile(uintptr(fds[0]), "master"))
	if err != nil {
		_ = other.Close()
	}
	return link, other, err
}

// linkOf takes the file over.
func linkOf(f *os.File) (handoverLink, error) {
	c, err := net.FileConn(f)
	_ = f.Close() // that was a copy
	if err != nil {
		return handoverLink{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return handoverLink{}, errors.New("this is no unix socket")
	}
	return handoverLink{u}, nil
}
