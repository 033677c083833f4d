package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
)

const unfinishedRun = `
select id, state, detail, checkpoint, lease_until, started_at, updated_at from symbolon.runs
where project = $1 and kind = $2 and state = 'running' order by started_at desc, id desc limit 1`

// oneRunAtATime prevents two runs from starting at the same time on Postgres, where writers
// overlap.
const oneRunAtATime = `select pg_advisory_xact_lock(hashtext('symbolon runs'), hashtext($1))`

const insertRun = `
insert into symbolon.runs (id, project, kind, state, checkpoint, lease_until, started_at, updated_at)
values ($1, $2, $3, 'running', $4, $5, $6, $7)`

const countRuns = `select count(*) from symbolon.runs where project = $1 and kind = $2 and state = 'running'`

// saveRun compares the lease, because a process that took over the run has changed it.
const saveRun = `
update symbolon.runs set state = $1, detail = $2, checkpoint = $3, lease_until = $4, updated_at = $5, ended_at = $6
where project = $7 and id = $8 and state = 'running' and lease_until = $9`

const (
	clockPostgres = `select clock_timestamp()`
	clockSQLite   = `select strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'`
)

// Clock returns the time of the database. On SQLite this is the time of the machine. Leases
// of runs go by it.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	text := clockPostgres
	if s.Dialect == SQLite {
		text = clockSQLite
	}
	return readOne(ctx, s, "read the database's clock", "the database has no clock", text, nil, func(row scanner) (time.Time, error) {
		var at moment
		err := row.Scan(&at)
		return at.Time, err
	})
}

// UnfinishedRun returns the project's unfinished run of this kind, even if the run's process
// has died. If there is none, it returns ErrNotFound.
func (s *Store) UnfinishedRun(ctx context.Context, project, kind string) (symbolon.Run, error) {
	missing := fmt.Sprintf("no run of kind %s is unfinished", kind)
	return readOne(ctx, s, "read the run", missing, unfinishedRun, []any{project, kind}, func(row scanner) (symbolon.Run, error) {
		run := symbolon.Run{Project: project, Kind: kind}
		var checkpoint string
		var until, started, updated moment
		err := row.Scan(&run.ID, &run.State, &run.Detail, &checkpoint, &until, &started, &updated)
		run.Checkpoint = []byte(checkpoint)
		run.LeaseUntil, run.StartedAt, run.UpdatedAt = until.Time, started.Time, updated.Time
		return run, err
	})
}

// StartRun records a new run. ErrConflict: another run of its kind has not ended.
func (s *Store) StartRun(ctx context.Context, r symbolon.Run) error {
	if r.ID == "" || r.Project == "" || r.Kind == "" {
		return errors.New("sqlstore: start a run: it has no ID, no project or no kind")
	}
	err := s.inTx(ctx, "start a run", func(ctx context.Context, db session) error { return db.startRun(ctx, r) })
	if errors.Is(err, errTaken) {
		return fmt.Errorf("sqlstore: a run of kind %s has not ended: %w", r.Kind, symbolon.ErrConflict)
	}
	return err
}

// startRun inserts before it counts, so that the first statement is a write.
func (c session) startRun(ctx context.Context, r symbolon.Run) error {
	if c.store.Dialect == Postgres {
		if _, err := c.exec(ctx, oneRunAtATime, r.Project); err != nil {
			return err
		}
	}
	now, n := moment{c.store.now()}, 0
	if _, err := c.exec(ctx, insertRun, r.ID, r.Project, r.Kind, string(r.Checkpoint), moment{r.LeaseUntil}, now, now); err != nil {
		return err
	}
	if err := c.queryRow(ctx, countRuns, r.Project, r.Kind).Scan(&n); err != nil {
		return err
	}
	if n > 1 {
		return errTaken
	}
	return nil
}

// SaveRun saves the progress or the end of a run. The parameter before is the run as it was
// read or saved last. ErrConflict: another process has taken over the lease since, or the
// run has ended.
func (s *Store) SaveRun(ctx context.Context, before, r symbolon.Run) error {
	var n int64
	err := s.inTx(ctx, "save the run", func(ctx context.Context, db session) (err error) {
		n, err = db.exec(ctx, saveRun, string(r.State), r.Detail, string(r.Checkpoint), moment{r.LeaseUntil}, moment{s.now()}, moment{r.EndedAt},
			before.Project, before.ID, moment{before.LeaseUntil})
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("sqlstore: run %s was taken over by somebody else, or has ended: %w", before.ID, symbolon.ErrConflict)
	}
	return nil
}
