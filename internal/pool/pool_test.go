package pool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEach(t *testing.T) {
	for _, c := range []struct {
		n, workers int
		takes      time.Duration
	}{
		{0, 3, 0},
		{2, 3, time.Second},
		{3, 3, time.Second},
		{7, 3, 3 * time.Second},
		{4, 1, 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), make([]atomic.Int32, c.n)
			Each(c.n, c.workers, func(i int) {
				time.Sleep(time.Second)
				calls[i].Add(1)
			})
			for i := range calls {
				if n := calls[i].Load(); n != 1 {
					t.Errorf("%d of %d was called %d times", i, c.n, n)
				}
			}
			if took := time.Since(start); took != c.takes {
				t.Errorf("%d calls by %d workers took %v, want %v", c.n, c.workers, took, c.takes)
			}
		})
	}
}
