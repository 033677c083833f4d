//go:build torture

package server

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestSilentFailovers: the connections of two servers to Postgres fall silent again and
// again, in the middle of a hook, a request to Ory, a reconcile run or an erasure. A new
// Postgres answers at once. Everybody is served again within 20 seconds, and nothing that
// was acknowledged is lost.
func TestSilentFailovers(t *testing.T) {
	t.Parallel()
	b := newBattered(t, sqlstore.Postgres, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer func() { stop(); b.load.Wait() }()
	b.begin(ctx)
	b.awaitPeople(t, adoptees+12)
	b.noteSizes()
	hit, slowest := map[string]int{}, time.Duration(0)
	for n := 0; n < failovers && !t.Failed(); n++ {
		aim := aims[n%len(aims)]
		b.taps.await(aim, 20*time.Second)
		time.Sleep(rand.N(1 + rand.N(lateness[aim])))
		for _, what := range b.taps.underWay() {
			hit[what]++
		}
		for _, relay := range b.toDB {
			relay.FallSilent()
		}
		took := b.served()
		slowest = max(slowest, took)
		t.Logf("%d, aimed at %q: served after %v", n, aim, took.Round(time.Millisecond))
		b.nothingLost(t)
		if n%10 == 9 {
			b.restart()
		}
	}
	t.Logf("%d failovers, of them in the middle of: %v; everybody was served again after at most %v", failovers, hit, slowest.Round(time.Millisecond))
	for _, what := range aims {
		if what != "" && hit[what] == 0 {
			t.Errorf("no failover came in the middle of: %s", what)
		}
	}
	b.finish(stop)
}

const failovers = 50
