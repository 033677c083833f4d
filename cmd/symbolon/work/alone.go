package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// strangers finds a queue or a job of another program. Symbolon's queues begin with its name,
// and all its jobs have one kind.
const strangers = `
select 'the queue ' || name from river_queue where name <> 'symbolon' and substr(name, 1, 9) <> 'symbolon_'
union all select 'jobs of the kind ' || kind from river_job where kind <> 'symbolon' limit 1`

// ErrShared: an application's own River uses the tables of the background work.
var ErrShared = errors.New("the SQLite file has River tables with the work of another program")

// alone refuses the tables of an application's own River. On Postgres, Symbolon's tables
// are in a schema of their own. On SQLite both programs would share the tables. River's
// leader gives up running jobs of kinds that it does not know. So Symbolon's leader would
// give up the application's jobs, and the application's leader would give up Symbolon's
// jobs.
func (q *Queue) alone(ctx context.Context) error {
	if q.config.Dialect != sqlstore.SQLite {
		return nil
	}
	var found string
	switch err := q.config.DB.QueryRowContext(ctx, strangers).Scan(&found); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("start the background work: read its tables: %w: %w", err, symbolon.ErrUnavailable)
	}
	return fmt.Errorf("%w (%s): each of the two programs would give up the running jobs of the other; give your own River another file, "+
		"and then delete its rows from river_queue and river_job in this file", ErrShared, found)
}
