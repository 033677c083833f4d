//go:build torture

package server

import (
	"context"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestSizesLevelOff: the servers run for minutes, while their databases and Ory have faults, and
// nobody ends them. After the first minute they need no more memory and no more goroutines.
func TestSizesLevelOff(t *testing.T) {
	t.Parallel()
	const warmUp, lasts = time.Minute, 5 * time.Minute
	for _, d := range e2e.Both {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			b := newBattered(t, d, 3)
			b.spared = true
			ctx, stop := context.WithCancel(t.Context())
			defer func() { stop(); b.load.Wait() }()
			b.begin(ctx)
			b.awaitPeople(t, adoptees+4)
			for began, n := time.Now(), 0; time.Since(began) < lasts && !t.Failed(); n++ {
				what := b.cause()
				b.served()
				if b.started == nil && time.Since(began) > warmUp {
					b.noteSizes()
				}
				for i, p := range b.servers {
					t.Logf("%v, %s: server %d: %v", time.Since(began).Round(time.Second), what, i, b.sizes(p))
				}
			}
			b.finish(stop)
		})
	}
}
