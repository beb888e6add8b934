package transfer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"ship/layers"
	"ship/layers/delta"
	"ship/transfer/swarm"
	"ship/transfer/wire"
)

// Delta says when a changed layer goes as a patch against an older one that the host has.
type Delta string

const (
	DeltaAuto Delta = ""    // when it is likely to be faster
	DeltaOn   Delta = "on"  // whenever there is something to patch
	DeltaOff  Delta = "off" // never
)

const (
	// patchLeast: a smaller layer, in bytes on the wire, is sent whole.
	patchLeast = 2 << 20
	// patchMost is how much smaller than the whole layer a patch must be to be worth its work, in percent.
	patchMost = 70
	// patchRate is how many plain bytes of a layer go a second through all that a patch takes: both layers unpacked here,
	// the patch made, the old layer read on the host, the patch applied. Half of what was measured on layers of real files.
	patchRate = 100e6
	// guessedUplink in bytes a second, while none was measured.
	guessedUplink = 6e6
)

// base is the layer on a host that a missing one can be made from: an older one, or the same one in another place.
type base struct {
	diffID layers.DiffID
	image  string // on the host
}

// findBases pairs the layers that a host lacks with those of the newest image of the same repository.
func findBases(ctx context.Context, e Engine, plan HostPlan, tag string) (map[int]base, error) {
	repo, err := layers.FamiliarRef(tag)
	if err != nil {
		return nil, err
	}
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	list, err := e.ListImagesNamed(ctx, repo)
	if err != nil {
		return nil, err
	}
	newest := -1
	for i, m := range list {
		if len(m.RepoTags) > 0 && (newest < 0 || m.Created.After(list[newest].Created)) {
			newest = i
		}
	}
	if newest < 0 {
		return nil, nil
	}
	ref := list[newest].RepoTags[0]
	info, err := e.InspectImage(ctx, ref)
	if err != nil {
		return nil, err
	}
	return pairBases(plan, ref, info.DiffIDs), nil
}

// pairBases takes the same layer, which a graph driver has under another chain ID, else the one at the same place,
// unless the new image has that one too.
func pairBases(plan HostPlan, ref string, old []string) map[int]base {
	kept := make(map[layers.DiffID]bool)
	for _, l := range plan.Image.Layers {
		kept[l.DiffID] = true
	}
	out := make(map[int]base)
	for _, i := range plan.Missing {
		d := plan.Image.Layers[i].DiffID
		if !slices.Contains(old, string(d)) {
			if i >= len(old) {
				continue
			}
			var err error
			if d, err = layers.ParseDiffID(old[i]); err != nil || kept[d] {
				continue
			}
		}
		out[i] = base{d, ref}
	}
	return out
}

// worthPatch tells whether a patch is likely to be faster than the layer: what it takes to make and to apply one
// against what it takes to send the layer, at uplink bytes a second (0 = not known).
func worthPatch(mode Delta, b layers.Blob, uplink int64) bool {
	whole := sendSize(b)
	switch {
	case mode == DeltaOff || whole < patchLeast && mode != DeltaOn:
		return false
	case mode == DeltaOn:
		return true
	}
	rate := float64(uplink)
	if rate <= 0 {
		rate = guessedUplink
	}
	return float64(plainSize(b))/patchRate < float64(patchMost)/100*float64(whole)/rate
}

// errNoPatch: the layer is better sent whole.
var errNoPatch = errors.New("no patch")

// patch is a patch that is made once, for all hosts that have the base.
type patch struct {
	once sync.Once
	done chan struct{}
	file *os.File
	size int64 // bytes of the patch
	to   int64 // bytes of the layer that it makes, plain
	err  error
}

// patches are those of one push, by name.
type patches struct {
	mu     sync.Mutex
	byName map[string]*patch
}

func (p *patches) get(name string) *patch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil {
		p.byName = make(map[string]*patch)
	}
	if p.byName[name] == nil {
		p.byName[name] = &patch{done: make(chan struct{})}
	}
	return p.byName[name]
}

func (p *patches) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.byName {
		if x.file != nil {
			_ = x.file.Close() // it has no name any more
		}
	}
}

// patchLayer asks for layer i as a patch against b.
func (a *attempt) patchLayer(m *swarm.Member, plan HostPlan, i int, b base) *errand {
	l := plan.Image.Layers[i]
	name := patchName(b.diffID, l.DiffID)
	p := a.patches.get(name)
	open := func(ctx context.Context) (swarm.Source, error) {
		p.once.Do(func() {
			defer close(p.done)
			p.err = a.makePatch(ctx, p, m, plan, i, b)
		})
		return patchSource{p}, p.err
	}
	w := m.Ask(name, open, nil, wire.Produce{}, a.tell.arrived)
	return &errand{want: w, patch: &patchOf{base: b.diffID, image: b.image, made: p}}
}

// signer describes a layer of an image on a host; see swarm.Member.Sign.
type signer interface {
	Sign(ctx context.Context, image, diffID string) (io.Reader, error)
}

// makePatch reads the old layer from the cache, or lets the host describe it, and writes the patch to a file without a
// name.
func (a *attempt) makePatch(ctx context.Context, p *patch, m signer, plan HostPlan, i int, b base) (err error) {
	target, err := a.Spool.PlainOf(ctx, plan.Image, i)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	p.to = target.Size()
	if p.file, err = a.Spool.Temp(); err != nil {
		return err
	}
	h := delta.Header{Base: sum(b.diffID), Target: sum(plan.Image.Layers[i].DiffID), TargetSize: target.Size()}
	out := &limited{w: p.file, left: sendSize(plan.Image.Layers[i].Blob) * patchMost / 100}
	old, err := a.Spool.Plain(ctx, b.diffID)
	switch {
	case err == nil:
		h.BaseSize = old.Size()
		_, err = delta.Make(ctx, out, h, old, target)
		err = errors.Join(err, old.Close())
	case errors.Is(err, layers.ErrNotHeld):
		var sig io.Reader
		if sig, err = m.Sign(ctx, b.image, string(b.diffID)); err == nil {
			_, err = delta.MakeFromSignature(ctx, out, h, sig, io.NewSectionReader(target, 0, target.Size()))
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %v", errNoPatch, err) // not wrapped: the hosts that share the patch must not take another's end for their own
	}
	p.size, err = p.file.Seek(0, io.SeekCurrent)
	return err
}

func sum(d layers.DiffID) (out [32]byte) {
	b, err := hex.DecodeString(d.Hex())
	if err == nil { // a diff ID is hexadecimal
		copy(out[:], b)
	}
	return out
}

// limited ends the making of a patch that has become too large.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errors.New("it would not be much smaller than the layer")
	}
	return l.w.Write(p)
}

// patchSource is a patch that has been made.
type patchSource struct{ p *patch }

func (s patchSource) Wait(context.Context, int64) (int64, bool, error) { return s.p.size, true, nil }

func (s patchSource) ReadAt(b []byte, off int64) (int, error) { return s.p.file.ReadAt(b, off) }

func (s patchSource) Close() error { return nil } // with the push
