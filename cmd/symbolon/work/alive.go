package work

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// River assumes that a server was killed when its job is older than the longest job. With a
// long Task.Timeout, all abandoned jobs would therefore wait that long. So River is told
// that no job lasts longer than defaultTimeout. A longer job runs in the context of the
// server instead of the job's, and every few seconds sets attempted_at to now.
const (
	beatPostgres = `update ` + schema + `.river_job set attempted_at = now() where id = $1 and state = 'running'`
	beatSQLite   = `update river_job set attempted_at = datetime('now', 'subsec') where id = $1 and state = 'running'`
)

// pulse is the pause between two beats. Several beats fit into the time after which a job is treated as
// abandoned.
const pulse = 5 * time.Second

// serverKey is the key of the context that ends with the server only.
type serverKey struct{}

// Middleware runs before River sets the timeout of the job.
func (w *worker) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware {
	return []rivertype.WorkerMiddleware{river.WorkerMiddlewareFunc(
		func(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
			return inner(context.WithValue(ctx, serverKey{}, ctx))
		})}
}

// alive returns the context of a job. done must be called after the job.
func (q *Queue) alive(ctx context.Context, t Task, job int64) (working context.Context, done func()) {
	server, ok := ctx.Value(serverKey{}).(context.Context)
	if !ok || t.Timeout <= q.config.timeout {
		return ctx, func() {}
	}
	working, cancel := context.WithTimeout(server, t.Timeout)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		q.beat(working, job)
	}()
	return working, func() {
		cancel()
		<-stopped
	}
}

func (q *Queue) beat(ctx context.Context, job int64) {
	text := beatSQLite
	if q.config.Dialect == sqlstore.Postgres {
		text = beatPostgres
	}
	for wait.For(ctx, q.config.pulse) == nil {
		_, _ = q.config.DB.ExecContext(ctx, text, job) // after an error the next beat is early enough
	}
}
