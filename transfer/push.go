package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ship/internal/docker"
	"ship/internal/event"
	"ship/layers"
)

const (
	defaultSilence    = 30 * time.Second
	defaultDiskFactor = 1.1

	// cleanTimeout bounds what is done on a host after a push was cancelled or failed.
	cleanTimeout = 10 * time.Second

	// maxTries: how often a host is asked again because it dropped meanwhile what it held.
	maxTries = 3
)

// Options of a push. The zero value of all but Tag and Spool is a sensible choice.
type Options struct {
	Tag        string        // what the image is called on the hosts: "shop:v1"
	Spool      *layers.Spool // where layers are made ready
	Emit       event.Func
	Parallel   int           // hosts at work at once; 0 = all
	Silence    time.Duration // an engine that shows no life for so long has failed; 0 = 30 s
	DiskFactor float64       // times the estimated need must be free on a host; 0 = 1.1; negative = do not check

	// Helpers are the helper programs by architecture, as Go names it. None = hosts are served without.
	Helpers map[string]Binary
	Star    bool   // hosts are not to talk to each other: each is fed from here
	Sources []Host // of the same image, beside the hosts: what they hold they send
	Delta   Delta
	Uplink  int64 // bytes a second, as measured in an earlier run; 0 = not known

	small int64 // see group; 0 = smallLoad
}

// Result is what became of one host.
type Result struct {
	Host     string
	ImageID  string // on that host: the config's digest on a graph driver, a manifest's on a containerd store
	Platform layers.Platform
	Held     int   // layers the host had, in the first answer
	Sent     int   // layers the host took
	Bytes    int64 // compressed bytes of layers that were sent
	Err      error
}

// Push brings the image of src to all hosts at once, each in its own platform, and returns one result per host, by
// index; the error joins theirs. A host's failure is its own: the others go on. When ctx ends, hosts whose image is
// not yet tagged are left as they were, where the link allows.
func Push(ctx context.Context, hosts []Host, src layers.Source, opt Options) ([]Result, error) {
	if _, err := layers.FamiliarRef(opt.Tag); err != nil {
		return nil, err
	}
	opt = opt.complete(len(hosts))
	p := newPush(hosts, src, opt)
	defer p.patches.close()
	defer p.crew.close(ctx)
	for i, r := range p.sources(ctx) {
		p.asked.tell(len(hosts)+i, r)
	}
	results := make([]Result, len(hosts))
	errs := make([]error, len(hosts))
	slots := make(chan struct{}, opt.Parallel)
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = p.host(ctx, i, h)
			errs[i] = results[i].Err
		})
	}
	wg.Wait()
	p.totals.tell()
	return results, errors.Join(errs...)
}

func (o Options) complete(hosts int) Options {
	if o.Parallel <= 0 {
		o.Parallel = max(hosts, 1)
	}
	if o.Silence <= 0 {
		o.Silence = defaultSilence
	}
	if o.small == 0 {
		o.small = smallLoad
	}
	if o.DiskFactor == 0 {
		o.DiskFactor = defaultDiskFactor
	}
	o.DiskFactor = max(o.DiskFactor, 0)
	return o
}

type push struct {
	Options
	images  *images
	asked   *gathering
	crew    *crew
	totals  *totals
	patches patches
}

func newPush(hosts []Host, src layers.Source, opt Options) *push {
	return &push{Options: opt, images: newImages(src), asked: newGathering(len(hosts) + len(opt.Sources)),
		totals: &totals{emit: opt.Emit}, crew: newCrew(hosts, opt)}
}

// sources are the hosts beside those that are sent to.
func (p *push) sources(ctx context.Context) []*routable {
	out := make([]*routable, len(p.Sources))
	for i, h := range p.Sources {
		out[i] = p.source(ctx, h)
	}
	return out
}

// source is a host that has the whole image and is sent nothing.
func (p *push) source(ctx context.Context, h Host) *routable {
	img, err := p.images.src.Image(ctx, layers.Platform{})
	if err != nil {
		return nil // the hosts will hear of it
	}
	return &routable{plan: HostPlan{Asked: Asked{Host: h.Name, Image: img}}, group: h.Group, helper: p.crew.can(h)}
}

// host does all for one host, in as many attempts as there is a reason for.
func (p *push) host(ctx context.Context, index int, h Host) Result {
	r := Result{Host: h.Name}
	tell := &progress{emit: p.Emit, host: h.Name, totals: p.totals}
	defer p.asked.tell(index, nil)
	var again retries
	for first := true; ; first = false {
		a := attempt{push: p, host: h, link: markLink(h.Remote), index: index, tell: tell, result: &r, first: first, whole: again.whole, own: again.own, full: again.full}
		err := a.do(ctx)
		r.Bytes = tell.bytes()
		if err == nil {
			p.crew.leave(h.Name)
			tell.say(event.Message, summary(r))
			return r
		}
		text, ok := again.after(ctx, err, a.link.broke(err))
		if !ok {
			r.Err = onHost(h.Name, "send", err)
			return r
		}
		tell.say(event.Message, text)
	}
}

func summary(r Result) string {
	if r.Sent == 0 {
		return fmt.Sprintf("image is there, no layer was sent, %d were held", r.Held)
	}
	return fmt.Sprintf("image is there, %d %s sent (%s), %d held", r.Sent, plural(r.Sent, "layer"), bytesText(r.Bytes), r.Held)
}

// attempt is one try at one host.
type attempt struct {
	*push
	host   Host
	link   linkMark // when it began
	index  int
	tell   *progress
	result *Result
	first  bool
	whole  bool  // no patches: one could not be applied
	own    bool  // no layers that other hosts make: the engine did not take them
	full   error // the folder for chunks, which may be on a disk of its own, was full: no helper
}

func (a *attempt) do(ctx context.Context) error {
	run := newRun()
	asked, err := a.ask(ctx, run)
	if err != nil {
		return inStep("ask", err)
	}
	plan := newHostPlan(asked, a.DiskFactor, a.small)
	a.result.Platform = asked.Image.Platform
	if a.first {
		a.result.Held = len(asked.Image.Layers) - len(plan.Missing)
	}
	if plan.Refused != nil {
		return a.refusal(plan)
	}
	if id := asked.Holding.tagged; id != "" {
		a.asked.tell(a.index, &routable{plan: plan, group: a.host.Group, helper: a.crew.can(a.host)})
		a.result.ImageID = id
		a.tidy(ctx, leftovers(asked.Holding.parts, asked.Image.ConfigDigest(), time.Now()))
		return nil
	}
	c, err := a.courier(ctx, plan)
	if err != nil {
		return &stepError{"send", err}
	}
	a.tell.phase("send")
	s := newSender(a.host, plan, run, c, a.Silence, a.tell)
	ref, err := s.send(ctx)
	a.result.Sent += s.whole
	if err == nil {
		err = a.finish(ctx, asked, ref)
	}
	if err != nil {
		a.undo(ctx, s.tags, err)
		if r, ok := c.(*relay); ok {
			err = r.blame(err)
		}
		return err
	}
	a.tidy(ctx, append(s.tags, leftovers(asked.Holding.parts, asked.Image.ConfigDigest(), time.Now())...))
	return nil
}

func (a *attempt) ask(ctx context.Context, r run) (Asked, error) {
	a.tell.phase("ask")
	q := question{host: a.host, tag: a.Tag, run: r, silence: a.Silence}
	q.image = func(ctx context.Context, i docker.Info) (*layers.Image, error) {
		return a.images.get(ctx, a.host.Name, i)
	}
	img, held, err := q.ask(ctx)
	return Asked{Host: a.host.Name, Image: img, Holding: held}, err
}

// finish verifies the image that ref names and gives it its tag.
func (a *attempt) finish(ctx context.Context, asked Asked, ref string) error {
	a.tell.phase("verify")
	ctx, cancel := patience(ctx, a.Silence)
	defer cancel()
	id, err := verify(ctx, a.host.Engine, asked.Holding.Info, asked.Image, ref)
	if err == nil {
		a.result.ImageID = id
		err = tagImage(ctx, a.host.Engine, ref, a.Tag)
	}
	if errors.Is(err, docker.ErrNotFound) {
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return &stepError{"verify", err}
	}
	return nil
}

// tidy removes temporary tags once they are of no use. The image is there: a failure is only worth a warning.
func (a *attempt) tidy(ctx context.Context, tags []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout) // the work is done, also when ctx ends now
	defer cancel()
	if err := removeTags(ctx, a.host.Engine, tags...); err != nil {
		a.tell.say(event.Warning, err.Error())
	}
}

// undo leaves nothing on a host whose push failed or was cancelled, unless it cannot be reached.
func (a *attempt) undo(ctx context.Context, tags []string, err error) {
	if ctx.Err() == nil && linkBroke(err) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout) // also when ctx has ended: that is why
	defer cancel()
	if err := removeTags(ctx, a.host.Engine, tags...); err != nil {
		a.tell.say(event.Warning, err.Error()+"; the next push of this image will")
	}
}

// courier decides how the layers get to the host: without a helper where there can be none, though not because the link
// broke.
func (a *attempt) courier(ctx context.Context, plan HostPlan) (courier, error) {
	r := &routable{plan: plan, group: a.host.Group, helper: a.crew.can(a.host)}
	route := a.asked.route(ctx, a.index, r)
	if a.own {
		route.Sources = nil
	}
	plain := direct{engine: a.host.Engine, spool: a.Spool, image: plan.Image, accept: plan.Accept, progress: a.tell}
	if !route.Helper || a.full != nil {
		return plain, nil
	}
	a.tell.phase("helper")
	m, err := a.crew.member(ctx, a.host.Name, plan.Send)
	switch {
	case err == nil && m.Free() >= 0 && m.Free() < plan.Send:
		a.tell.say(event.Message, fmt.Sprintf("without a helper: its folder has room for %s, %s are to come", bytesText(m.Free()), bytesText(plan.Send)))
		return plain, nil
	case err == nil:
		return a.relay(ctx, m, plan, route), nil
	case ctx.Err() != nil || a.link.lost():
		return nil, err
	}
	a.tell.say(event.Message, "without a helper: "+err.Error())
	return plain, nil
}
