package peer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"ship/transfer/chunk"
	"ship/transfer/wire"
)

// read takes in what the peer says, until that ends or breaks the rules. It never waits for the writer.
func (l *link) read() error {
	for first := true; ; first = false {
		kind, p, err := l.wire.Recv()
		if err == io.EOF {
			return errors.New("it has hung up")
		}
		if err != nil {
			return err
		}
		if first != (kind == kindHello) {
			return fmt.Errorf("%w: kind %d out of turn", wire.ErrFrame, kind)
		}
		if err := l.handle(kind, p); err != nil {
			return err
		}
	}
}

func (l *link) handle(kind wire.Kind, p []byte) error {
	switch kind {
	case kindHello:
		return l.hello(p)
	case kindHave, kindMap:
		return l.news(kind, p)
	case kindRequest, kindCancel, kindMiss:
		k, data, err := parseKey(p)
		if err != nil || len(data) > 0 {
			return errors.Join(err, fmt.Errorf("%w: kind %d of %d bytes", wire.ErrFrame, kind, len(p)))
		}
		switch kind {
		case kindRequest:
			return l.requested(k)
		case kindCancel:
			l.cancelled(k)
			return nil
		}
		return l.missed(k)
	case kindChunk:
		k, data, err := parseKey(p)
		if err != nil {
			return err
		}
		return l.arrived(k, data)
	case kindPing:
		return nil
	}
	return fmt.Errorf("%w: kind %d", wire.ErrFrame, kind)
}

func (l *link) hello(p []byte) error {
	if err := parseHello(p); err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	l.greeted = true
	return nil
}

// news takes in what the peer has.
func (l *link) news(kind wire.Kind, p []byte) error {
	blob, s, err := parseNews(kind, p)
	if err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	theirs, seen := l.theirs[blob]
	if !seen {
		l.room -= newBlob
	}
	l.room -= max(0, len(s)-len(theirs))
	if l.room < 0 {
		return fmt.Errorf("%w: news of too many chunks", wire.ErrFrame)
	}
	theirs.grow(len(s))
	l.theirs[blob] = theirs
	w := l.node.wants[blob]
	for word := range s {
		fresh := s[word] &^ theirs[word]
		theirs[word] |= s[word]
		each(word, fresh, func(i int) {
			if w != nil {
				w.count(i, 1)
			}
			l.node.given(l, key{blob, i})
		})
	}
	l.node.fill(l)
	return nil
}

func (l *link) requested(k key) error {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	o := &l.out
	if len(o.uploads)+len(o.misses) >= maxOwed {
		return fmt.Errorf("%w: more than %d requests at once", wire.ErrFrame, maxOwed)
	}
	o.uploads = append(o.uploads, k)
	l.wakeWriter()
	return nil
}

// cancelled answers a request at once that was not begun.
func (l *link) cancelled(k key) {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	o := &l.out
	if at := slices.Index(o.uploads, k); at >= 0 {
		o.uploads = slices.Delete(o.uploads, at, at+1)
		o.misses = append(o.misses, k)
		l.wakeWriter()
	}
}

// missed: the peer will not send a chunk. One that was not cancelled it does not have any more.
func (l *link) missed(k key) error {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	r, err := l.answered(k)
	if err != nil {
		return err
	}
	w := l.node.wants[k.blob]
	if w != nil && !r.cancelled {
		w.release(k.index, l)
		if theirs := l.theirs[k.blob]; theirs.has(k.index) {
			theirs.remove(k.index)
			w.count(k.index, -1)
		}
	}
	l.node.fillAll()
	return nil
}

// answered takes a request off the list; with mu locked.
func (l *link) answered(k key) (*request, error) {
	r := l.asked[k]
	if r == nil {
		return nil, fmt.Errorf("%w: an answer that was not asked for", wire.ErrFrame)
	}
	l.forget(k, r)
	return r, nil
}

// arrived stores a chunk that the peer sent.
func (l *link) arrived(k key, data []byte) error {
	n := l.node
	n.mu.Lock()
	r, err := l.answered(k)
	if err != nil {
		n.mu.Unlock()
		return err
	}
	took := time.Since(r.since)
	n.pace.add(took)
	if l.pace == 0 {
		l.pace = took
	}
	l.pace += (took - l.pace) / 4
	w := n.wants[k.blob]
	n.mu.Unlock()
	if w != nil {
		if err := l.store(w, k.index, data); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.fill(l)
	n.mu.Unlock()
	return nil
}

// store returns an error only if the peer is to blame.
func (l *link) store(w *want, index int, data []byte) error {
	err := l.node.put(w, index, data, l.name)
	var bad *chunk.BadError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		l.node.release(w, index, l)
		return err
	case errors.Is(err, chunk.ErrClosed):
		l.node.dropWant(w)
	default:
		l.node.fail(w, err)
	}
	return nil
}
