package chunk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Size of every chunk of a blob but the last, in bytes.
const Size = 1 << 20

// MaxChunks is how many chunks a blob may have.
const MaxChunks = 1 << 20

// maxAge is how long a blob is kept that nobody has used.
const maxAge = 7 * 24 * time.Hour

// Name names a blob's files: 1 to 160 of a to z, 0 to 9, dot and hyphen. Its stem, which is what comes before the first
// dot, names what the blob brings: one layer may come in several forms.
type Name string

func (n Name) stem() string {
	stem, _, _ := strings.Cut(string(n), ".")
	return stem
}

// maxName is below what file systems allow, suffix included.
const maxName = 160

func (n Name) check() error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-"
	foreign := func(r rune) bool { return !strings.ContainsRune(letters, r) }
	if n == "" || len(n) > maxName || strings.ContainsFunc(string(n), foreign) {
		return fmt.Errorf("%.40q is no name for a blob", string(n))
	}
	return nil
}

// Store is a folder of blobs, which several processes may use at the same time. It is safe for concurrent use.
type Store struct {
	root  *os.Root
	quota int64
}

// Open opens or makes a store in dir, for its owner only, and removes what was not used for seven days and what is over
// quota, in bytes: the blobs unused for longest first, never one in use.
//
// Nothing is touched where another user could have put a folder or a link of his in the way: all parts of the path
// belong to root, to us or to one of trusted, by user ID.
func Open(dir string, quota int64, trusted ...int) (*Store, error) {
	path, err := makeFolder(dir, append([]int{0, os.Geteuid()}, trusted...))
	if err != nil {
		return nil, fmt.Errorf("make chunk store: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open chunk store: %w", err)
	}
	s := &Store{root: root, quota: quota}
	err = owned(root)
	if err == nil {
		err = s.sweep(quota)
	}
	if err != nil {
		_ = root.Close() // nothing was written through it
		return nil, fmt.Errorf("open chunk store: %w", err)
	}
	return s, nil
}

// owned makes sure that nobody else writes where the program does.
func owned(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if uid := owner(info); uid != os.Geteuid() {
		return fmt.Errorf("folder belongs to user %d", uid)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	return root.Chmod(".", 0o700)
}

// Blob opens or makes a blob, which is then locked until it is closed. If another process, or another user of this
// store, has it open already, or the file system has no locks, the result is an empty one of the same use that is gone
// when it is closed.
func (s *Store) Blob(n Name) (*Blob, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	log, err := s.lock(n)
	private := errors.Is(err, errInUse)
	if private {
		n = Name("private-" + strings.ToLower(rand.Text()))
		log, err = s.openFile(n.log())
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	b, err := s.open(n, log)
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("open blob: %w", err)
	}
	if b.private = private; private {
		s.unlink(n) // a process that is killed leaves nothing; where open files cannot be removed, Close does it
	}
	return b, nil
}

func (s *Store) openFile(name string) (*os.File, error) {
	return s.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}

// Close removes what is over the quota now, and frees the store. Blobs are to be closed before.
func (s *Store) Close() error {
	return errors.Join(s.sweep(s.quota), s.root.Close())
}

// errInUse is told by lock.
var errInUse = errors.New("in use")

// lock opens or makes the records of a blob and takes its lock, which is on them.
func (s *Store) lock(n Name) (*os.File, error) {
	for {
		log, err := s.openFile(n.log())
		if err != nil {
			return nil, err
		}
		got, err := tryLock(log)
		if err == nil && !got {
			err = errInUse
		}
		if err != nil {
			log.Close()
			return nil, err
		}
		if s.current(n, log) {
			return log, nil
		}
		log.Close() // removed by the one who had the lock before
	}
}

// current tells whether log is still the file of that name.
func (s *Store) current(n Name, log *os.File) bool {
	mine, err := log.Stat()
	if err != nil {
		return false
	}
	named, err := s.root.Stat(n.log())
	return err == nil && os.SameFile(mine, named)
}

func (s *Store) open(n Name, log *os.File) (*Blob, error) {
	data, err := s.openFile(n.data())
	if err != nil {
		return nil, err
	}
	old, end, err := readRecords(log)
	if err != nil {
		data.Close()
		return nil, err
	}
	s.touch(n)
	return &Blob{store: s, name: n, data: data, log: log, old: old, end: end, changed: make(chan struct{})}, nil
}

// touch makes a blob count as used now. If that fails it is swept early.
func (s *Store) touch(n Name) {
	now := time.Now()
	_ = s.root.Chtimes(n.log(), now, now)
}

// unlink removes a blob's files, whose lock the caller has.
func (s *Store) unlink(n Name) {
	_ = s.root.Remove(n.data()) // may be gone already
	_ = s.root.Remove(n.log())
}

const (
	dataSuffix = ".data"
	logSuffix  = ".sums"
)

func (n Name) data() string { return string(n) + dataSuffix }
func (n Name) log() string  { return string(n) + logSuffix }
