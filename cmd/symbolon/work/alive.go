package work

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// River takes a job for one that a killed server has left when it is older than a job
// may last, so that those of a task that may last long would rest as long. To River no
// job lasts longer than defaultTimeout. One that does is worked in the server's context
// instead of the job's, and says every few seconds that it has only just begun.
const (
	bePostgres = `update ` + schema + `.river_job set attempted_at = now() where id = $1 and state = 'running'`
	beSQLite   = `update river_job set attempted_at = datetime('now', 'subsec') where id = $1 and state = 'running'`
)

// pulse is how often: several times before a job is taken for dead.
const pulse = 5 * time.Second

// serverKey is where the context is found that ends with the server only.
type serverKey struct{}

// Middleware runs before River sets the job's time.
func (w *worker) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware {
	return []rivertype.WorkerMiddleware{river.WorkerMiddlewareFunc(
		func(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
			return inner(context.WithValue(ctx, serverKey{}, ctx))
		})}
}

// alive returns the context in which a job of the task is worked. done must be called
// when that is over.
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
	text := beSQLite
	if q.config.Dialect == sqlstore.Postgres {
		text = bePostgres
	}
	ticker := time.NewTicker(q.config.pulse)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, _ = q.config.DB.ExecContext(ctx, text, job) // the next one comes in time
	}
}
