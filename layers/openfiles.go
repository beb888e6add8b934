package layers

import (
	"errors"
	"os"
	"slices"
	"sync"
)

// openFiles keeps a few files open that were read last. It is safe for concurrent use.
type openFiles struct {
	max int

	mu    sync.Mutex
	files []*openFile // the one used last is last
}

type openFile struct {
	*os.File
	key   int
	users int
}

func newOpenFiles(n int) *openFiles { return &openFiles{max: n} }

// get returns the file of that key, which open opens if it is not. Put gives it back.
func (o *openFiles) get(key int, open func() (*os.File, error)) (*openFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.files, func(f *openFile) bool { return f.key == key })
	if i >= 0 {
		f := o.files[i]
		o.files = append(slices.Delete(o.files, i, i+1), f)
		f.users++
		return f, nil
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	o.shrink(o.max - 1)
	f := &openFile{File: file, key: key, users: 1}
	o.files = append(o.files, f)
	return f, nil
}

func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.users--
	o.shrink(o.max)
}

// shrink closes files that nobody reads, the one unused for longest first.
func (o *openFiles) shrink(n int) {
	for i := 0; len(o.files) > n && i < len(o.files); {
		if o.files[i].users > 0 {
			i++
			continue
		}
		_ = o.files[i].Close() // only read
		o.files = slices.Delete(o.files, i, i+1)
	}
}

func (o *openFiles) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.files {
		errs = append(errs, f.Close())
	}
	o.files = nil
	return errors.Join(errs...)
}
