// Package dbtime tells the time of a database. Leases in the database go by it, because the
// clocks of two servers may differ.
package dbtime

import (
	"context"
	"time"
)

// Clock is a clock that was set by the database once and has run by itself since. It is
// behind the database by at most the time that the reading took. The zero Clock shows the
// local time.
type Clock struct {
	now      func() time.Time
	database time.Time // the reading
	local    time.Time // the local time after the reading
}

// Read reads the database's time. The parameter now is the local clock that measures the time
// from then on.
func Read(ctx context.Context, database func(context.Context) (time.Time, error), now func() time.Time) (Clock, error) {
	read, err := database(ctx)
	return Clock{now, read, now()}, err
}

// Now returns the database's time. A step of the local clock does not change it, because
// times of time.Now are compared by their monotonic reading.
func (c Clock) Now() time.Time {
	if c.now == nil {
		return time.Now()
	}
	return c.database.Add(c.now().Sub(c.local))
}
