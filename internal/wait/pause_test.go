package wait

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPause checks that a pause gets longer and never shorter, and that it ends by
// itself.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pause
		left := func(want time.Duration) {
			t.Helper()
			if got := max(p.Left(), 0); got != want {
				t.Errorf("%v left, want %v", got, want)
			}
		}
		left(0)
		p.Extend(time.Minute)
		left(time.Minute)
		p.Extend(time.Second)
		left(time.Minute)
		time.Sleep(30 * time.Second)
		p.Extend(time.Minute)
		left(time.Minute)
		time.Sleep(2 * time.Minute)
		left(0)
	})
}
