package session

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon/internal/chaos"
)

// TestBoundHolds checks for random settings, uses of a session, delays and faults of Ory
// that nobody is let in later than Bound, and that the bound is no larger than necessary.
func TestBoundHolds(t *testing.T) {
	worst := 0.0
	for seed := range uint64(torture(400, 10_000)) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			between := func(lo, hi time.Duration) time.Duration { return lo + time.Duration(rnd.Int64N(int64(hi-lo))) }
			w := newWorld(t)
			w.v.MaxStale = between(time.Second, 20*time.Second)
			if rnd.IntN(2) == 0 {
				w.v.OutageGrace = between(time.Second, time.Minute)
			}
			var clock chaos.Clock
			w.v.Now = clock.Now
			w.latency = between(0, w.v.MaxStale/2)
			token, s := w.person(1)
			time.Sleep(time.Second)

			faults := []func(){func() { w.down = true }, func() { w.tableBroken = true }, func() { w.refuse = true }, func() { w.latency = time.Minute },
				func() { w.answer = always(502, "bad gateway") }, func() { w.answer = always(429, "") }, func() {}}
			fault := faults[rnd.IntN(len(faults))]
			time.AfterFunc(between(0, 30*time.Second), func() { w.set(fault) })
			time.AfterFunc(between(0, 30*time.Second), func() { clock.Set([]time.Duration{time.Hour, -time.Hour}[seed%2]) })
			end := between(0, 30*time.Second)
			ended := time.Now().Add(end)
			time.AfterFunc(end, func() { w.set(func() { s.active = false }) })
			var last time.Time
			for began := time.Now(); time.Since(began) < 40*time.Second+w.v.Bound(); time.Sleep(between(0, w.v.MaxStale/8)) {
				came := time.Now()
				if status, _ := w.ask(byToken(token)); status == 200 {
					last = came
				}
				synctest.Wait()
			}
			late := last.Sub(ended)
			if late > w.v.Bound() {
				t.Fatalf("seed %d: let in %s after the end, the bound is %s", seed, late, w.v.Bound())
			}
			worst = max(worst, float64(late)/float64(w.v.Bound()))
			w.v.Close()
		})
	}
	if worst < 0.9 {
		t.Errorf("the latest request was at %.2f of the bound, so the bound could be smaller", worst)
	}
	t.Logf("let in after at most %.3f of the bound", worst)
}
