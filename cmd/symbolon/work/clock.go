package work

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// clock is the database's clock as River uses it. If River used the servers' own clocks, a
// leader whose clock is ahead would begin waiting jobs before their time, and a server whose
// clock is behind would repeat its schedules without a pause. Statements use the database's
// now().
type clock struct {
	local  func() time.Time
	offset atomic.Int64 // nanoseconds that the database is ahead of the local clock
}

// Now returns the time of the database.
func (c *clock) Now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

// NowOrNil returns nil: statements use the database's now().
func (c *clock) NowOrNil() *time.Time { return nil }

const (
	epochPostgres = `select extract(epoch from clock_timestamp())::float8`
	epochSQLite   = `select (julianday('now') - 2440587.5) * 86400.0`
)

// sameClock is a difference that is no reason to set the clock again.
const sameClock = time.Second

// setClock reads the database's clock.
func (q *Queue) setClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	text := epochSQLite
	if q.config.Dialect == sqlstore.Postgres {
		text = epochPostgres
	}
	var seconds float64
	if err := q.config.DB.QueryRowContext(ctx, text).Scan(&seconds); err != nil {
		return fmt.Errorf("read the database's clock: %w: %w", err, symbolon.ErrUnavailable)
	}
	off := time.UnixMicro(int64(seconds * 1e6)).Sub(q.clock.Now())
	if off.Abs() >= sameClock {
		q.clock.offset.Add(int64(off))
		q.config.Log.Warn("the clock of this server and the clock of the database differ: background work goes by the database's", "by", time.Duration(q.clock.offset.Load()).Round(time.Millisecond))
	}
	return nil
}
