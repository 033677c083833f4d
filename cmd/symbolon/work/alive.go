package work

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// The column attempted_at is the lease of a running job. The worker of the job renews the
// lease every few seconds. If the lease is older than leaseTime, the server of the job was
// killed, or has lost its database. Every server may then take the job over. All times are
// the database's, so that a server with a wrong clock takes over no job too early.
//
//	fetch ──► attempted_at = now ──► renewed ──► renewed ──► done
//	                                    │ not renewed for leaseTime
//	                                    ▼
//	              available again, and the worker's context has ended
//
// River's own rescue of old jobs compares them with the clock of a server. Therefore the
// rescue is practically off.
const (
	renewPostgres = `update ` + schema + `.river_job set attempted_at = now() where id = $1 and attempt = $2 and state = 'running'`
	renewSQLite   = `update river_job set attempted_at = datetime('now', 'subsec') where id = $1 and attempt = $2 and state = 'running'`

	takeOverPostgres = `update ` + schema + `.river_job set state = 'available', scheduled_at = now()
where kind = $1 and queue in ($2, $3) and state = 'running' and attempted_at < now() - make_interval(secs => $4)`
	takeOverSQLite = `update river_job set state = 'available', scheduled_at = datetime('now', 'subsec')
where kind = $1 and queue in ($2, $3) and state = 'running' and attempted_at < datetime('now', 'subsec', '-' || $4 || ' seconds')`
)

const (
	leaseTime = 20 * time.Second

	// pulse is the pause between two renewals. Several renewals fit into a lease.
	pulse = 5 * time.Second

	// renewTimeout is the limit of one renewal or take-over. A connection that has fallen
	// silent is dropped then, so that the next attempt uses another one.
	renewTimeout = 3 * time.Second
)

// errLost ends the context of a job whose lease was not renewed.
var errLost = errors.New("the job was not renewed, and another server may have it")

// serverKey is the key of the context that ends only when the server ends.
type serverKey struct{}

// Middleware keeps the context of the server for [Queue.alive]. It runs before River sets
// the timeout of the job.
func (w *worker) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware {
	return []rivertype.WorkerMiddleware{river.WorkerMiddlewareFunc(
		func(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
			return inner(context.WithValue(ctx, serverKey{}, ctx))
		})}
}

// alive returns the context of a job, and renews the lease of the job until done is called.
// A job that may last longer than River's limit runs in the context of the server instead of
// River's.
func (q *Queue) alive(ctx context.Context, t Task, job *rivertype.JobRow) (working context.Context, done func()) {
	end := func() {}
	if server, ok := ctx.Value(serverKey{}).(context.Context); ok && t.Timeout > q.config.timeout {
		ctx, end = context.WithTimeout(server, t.Timeout)
	}
	working, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		q.renewAll(working, job, cancel)
	}()
	return working, func() {
		cancel(nil)
		end()
		<-stopped
	}
}

// renewAll renews the lease of a job until ctx ends, and ends ctx if the lease is lost.
func (q *Queue) renewAll(ctx context.Context, job *rivertype.JobRow, cancel context.CancelCauseFunc) {
	last := time.Now()
	for wait.For(ctx, q.config.pulse) == nil {
		began := time.Now()
		renewed, err := q.touch(ctx, renewPostgres, renewSQLite, job.ID, job.Attempt)
		switch {
		case err == nil && renewed > 0:
			last = began
		case err == nil, time.Since(last) > q.config.leaseTime-q.config.pulse:
			cancel(errLost)
			return
		}
	}
}

// keep takes jobs over, and wakes schedules, until ctx ends.
func (q *Queue) keep(ctx context.Context) {
	for wait.For(ctx, q.config.pulse) == nil {
		_ = q.setClock(ctx) // the next round tries again
		n, err := q.touch(ctx, takeOverPostgres, takeOverSQLite, args{}.Kind(), q.lane(false), q.lane(true), q.config.leaseTime.Seconds())
		if err == nil && n > 0 {
			q.config.Log.Info("background work of a server that does not answer was taken over", "jobs", n)
		}
		for _, t := range q.tasks {
			if t.Overdue != nil {
				q.wake(ctx, t)
			}
		}
	}
}

// wake begins a schedule before its time if its work is overdue. After an error it is called
// again soon.
func (q *Queue) wake(ctx context.Context, t Task) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if overdue, err := t.Overdue(ctx); err != nil || !overdue {
		return
	}
	done, err := q.client.Insert(ctx, args{Project: q.config.Project, Task: t.Name}, q.options(t))
	if err == nil && done.UniqueSkippedAsDuplicate {
		_, _ = q.client.JobRetry(ctx, done.Job.ID) // has no effect on a job that runs
	}
}

// touch runs a statement and returns the number of rows that it changed.
func (q *Queue) touch(ctx context.Context, postgres, sqlite string, values ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	text := sqlite
	if q.config.Dialect == sqlstore.Postgres {
		text = postgres
	}
	done, err := q.config.DB.ExecContext(ctx, text, values...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
