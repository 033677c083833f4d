package chaos

import (
	"sync/atomic"
	"time"
)

// Clock is a wall clock that a test can set. Monotonic time goes on as usual. The zero Clock
// is right.
type Clock struct{ off atomic.Int64 }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }

// Set makes the clock wrong by off.
func (c *Clock) Set(off time.Duration) { c.off.Store(int64(off)) }
