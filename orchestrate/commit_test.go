package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"ship/proxy"
)

// breaking is a proxy whose connection ends in the middle of calls.
type breaking struct {
	answers []error // to commit, one a call; the last one counts for all after it
	done    bool    // the call that broke off was carried out
	calls   int
	mute    int // so many times the status breaks off too
}

func (b *breaking) Commit(context.Context, string, string, int64) (proxy.Switched, error) {
	err := b.answers[min(b.calls, len(b.answers)-1)]
	b.calls++
	return proxy.Switched{}, err
}

func (b *breaking) Status(context.Context) (proxy.Status, error) {
	if b.mute > 0 {
		b.mute--
		return proxy.Status{}, io.EOF
	}
	v := proxy.ServiceStatus{Service: proxy.Service{Name: "a"}, Generation: 6, Active: &proxy.TargetStatus{}}
	if b.done {
		v.Generation = 7
	}
	return proxy.Status{Services: []proxy.ServiceStatus{v}}, nil
}

func TestCommitService(t *testing.T) {
	lost, refused := fmt.Errorf("ask the proxy: %w", io.EOF), errors.New("refused")
	for name, tt := range map[string]struct {
		p     breaking
		want  error
		calls int
	}{
		"well":                        {breaking{answers: []error{nil}}, nil, 1},
		"refused":                     {breaking{answers: []error{refused}}, refused, 1},
		"lost, and done":              {breaking{answers: []error{lost}, done: true}, nil, 1},
		"lost, and not done":          {breaking{answers: []error{lost, nil}}, nil, 2},
		"lost, mute, and not done":    {breaking{answers: []error{lost, nil}, mute: 3}, nil, 2},
		"lost, then refused":          {breaking{answers: []error{lost, refused}}, refused, 2},
		"lost for good":               {breaking{answers: []error{lost}}, io.EOF, 1 + lostTries},
		"lost, and nobody there then": {breaking{answers: []error{lost}, mute: 100}, io.EOF, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := commitService(t.Context(), &tt.p, "a", "token", 7)
				if !errors.Is(err, tt.want) || tt.p.calls != tt.calls {
					t.Errorf("%v after %d calls, want %v after %d", err, tt.p.calls, tt.want, tt.calls)
				}
			})
		})
	}
}
