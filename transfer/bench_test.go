package transfer

import (
	"fmt"
	"testing"
	"time"

	"ship/internal/shiptest/lab"
)

// BenchmarkLoads compares one load for each of five layers of 40 MB, pipelined, with one load for all, per engine and
// store, over SSH at 200 Mbit/s: go test -run - -bench Loads -benchtime 3x ./transfer
func BenchmarkLoads(b *testing.B) {
	of := make([]testLayer, 5)
	for i := range of {
		of[i] = testLayer{name: fmt.Sprintf("bench-%d", i), size: 40 << 20}
	}
	src := openImage(b, of...)
	img := imageOf(b, src)
	p := newPusher(b, "bench:v1")
	for _, name := range everyHost() {
		h := fleet(b, name)[0]
		must(b, h.lab.Limit(b.Context(), 0, 200*lab.Mbit))
		for _, way := range []string{"pipelined", "single"} {
			b.Run(name+"/"+way, func(b *testing.B) {
				b.SetBytes(5 * 40 << 20)
				for b.Loop() {
					a := attempt{push: &push{Options: p.opt.complete(1), images: newImages(src)}, host: h.Host, tell: &progress{}, result: &Result{}}
					run := newRun()
					asked, err := a.ask(b.Context(), run)
					must(b, err)
					plan := newHostPlan(asked, 0, smallLoad)
					if way == "single" {
						plan.Loads = []Load{{Layers: plan.Missing, Top: len(img.Layers)}}
					}
					s := newSender(h.Host, plan, run, direct{engine: h.Engine, spool: p.opt.Spool, image: plan.Image, accept: plan.Accept, progress: a.tell}, time.Minute, a.tell)
					ref, err := s.send(b.Context())
					must(b, err)
					must(b, a.finish(b.Context(), asked, ref))
					a.tidy(b.Context(), s.tags)
					must(b, h.engine.RemoveImage(b.Context(), "bench:v1"))
				}
			})
		}
	}
}
