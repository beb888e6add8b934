package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"ship/internal/docker"
	"ship/layers"
	"ship/transfer/swarm"
)

// remade is a link as far as a mark asks about it.
type remade struct {
	Remote
	down   bool
	number uint64
}

func (r *remade) Lost() bool   { return r.down }
func (r *remade) Link() uint64 { return r.number }

func TestLinkMark(t *testing.T) {
	cut := fmt.Errorf("send: %w", io.ErrUnexpectedEOF)
	answer := &stepError{"load", &docker.LoadError{Message: "bad layer"}}
	for name, tt := range map[string]struct {
		after remade
		err   error
		want  bool
	}{
		"up":                            {remade{number: 4}, cut, false},
		"down":                          {remade{down: true, number: 4}, cut, true},
		"down, after an answer":         {remade{down: true, number: 4}, answer, true},
		"made again":                    {remade{number: 5}, cut, true},
		"made again, the helper ended":  {remade{number: 5}, swarm.ErrGone, true},
		"made again, the host answered": {remade{number: 5}, answer, false},
		"made again, a refusal":         {remade{number: 5}, &PreflightError{}, false},
		"made again, a damaged base":    {remade{number: 5}, &swarm.BaseError{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &remade{number: 4}
			m := markLink(r)
			*r = tt.after
			if got := m.broke(tt.err); got != tt.want {
				t.Error(got)
			}
		})
	}
	if markLink(nil).broke(cut) {
		t.Error("a link that nobody knows is lost")
	}
}

// flaky is an engine whose first call fails for its link, which is there again when it has failed.
type flaky struct {
	Engine
	link  *remade
	calls int
}

var errNoEngine = errors.New("no engine")

func (f *flaky) Info(context.Context) (docker.Info, error) {
	if f.calls++; f.calls == 1 {
		f.link.number++
		return docker.Info{}, io.ErrUnexpectedEOF
	}
	return docker.Info{}, errNoEngine
}

func (*flaky) ListContent(context.Context) ([]docker.Content, error) { return nil, errNoEngine }

func (*flaky) InspectImage(context.Context, string) (docker.ImageInfo, error) {
	return docker.ImageInfo{}, docker.ErrNotFound
}

func (*flaky) ListImagesNamed(context.Context, string) ([]docker.ImageSummary, error) {
	return nil, nil
}

// TestPushLinkRemade: a push whose link broke is tried again, also when somebody else has made the link meanwhile.
func TestPushLinkRemade(t *testing.T) {
	src, err := layers.Build(layers.BuildConfig{Platform: layers.Platform{OS: "linux", Arch: "amd64"}}, nil)
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		link := &remade{}
		e := &flaky{link: link}
		_, err = Push(t.Context(), []Host{{Name: "h1", Engine: e, Remote: link}}, src, Options{Tag: "remade:v1"})
		if !errors.Is(err, errNoEngine) || e.calls != 2 {
			t.Errorf("%d calls, error %v", e.calls, err)
		}
	})
}
