package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

const (
	maxAttempts = 10_000 // a job ends by its age instead
	longest     = 5 * time.Minute

	// holding is how long a job that meets the rate limit keeps its worker. Otherwise every
	// job of a long queue would meet the limit, one after the other.
	holding = 6 * time.Second
)

// worker runs the tasks for River.
type worker struct {
	river.WorkerDefaults[args]
	queue *Queue
}

// Timeout returns the task's timeout, but at most the timeout that River knows; see
// [Queue.alive].
func (w *worker) Timeout(job *river.Job[args]) time.Duration {
	return min(w.queue.tasks[job.Args.Task].Timeout, w.queue.config.timeout) // an unknown task has 0, so River uses its default
}

// NextRetry doubles the pause: 2 s, 4 s, … 5 min, each up to a tenth longer. The job of a
// schedule sleeps after an error of its task, which is no failure for River. It fails only
// if a server was killed or stopped, and is then retried after a second.
func (w *worker) NextRetry(job *river.Job[args]) time.Time {
	if w.queue.tasks[job.Args.Task].Every > 0 {
		return w.queue.clock.Now().Add(time.Second)
	}
	pause := min(time.Second<<min(max(job.Attempt, 1), 16), longest)
	return w.queue.clock.Now().Add(pause + rand.N(pause/10)) //nolint:gosec // it need not be unpredictable
}

// Work does one job.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	q := w.queue
	t, known := q.tasks[job.Args.Task]
	if !known {
		return q.leave(job)
	}
	ctx, done := q.alive(ctx, t, job.JobRow)
	defer done()
	j := Job{Key: job.Args.Key, Note: job.Args.Note, At: job.CreatedAt}
	if t.Every > 0 {
		err := q.do(ctx, t, j) // no second job with its key is ever put, so the job needs no claim
		if err != nil && stopping(ctx) {
			return err // the next server continues
		}
		return q.round(t, err)
	}
	free, err := q.claim(ctx, job.JobRow)
	if err != nil || !free {
		return errors.Join(err, river.JobSnooze(time.Second))
	}
	out := q.conclude(ctx, t, j, q.do(ctx, t, j))
	if out == nil || stopping(ctx) || errors.Is(out, river.JobCancel(nil)) {
		return out
	}
	return q.later(ctx, job, out)
}

// leave leaves a job to a newer or older program that knows its task. After a day it gives
// the job up. The job of a schedule, which has no key, is left to a server with that
// schedule.
func (q *Queue) leave(job *river.Job[args]) error {
	if job.Args.Key == "" {
		return river.JobSnooze(time.Minute)
	}
	if q.clock.Now().Sub(job.CreatedAt) < defaultGiveUp {
		return river.JobSnooze(10 * time.Second)
	}
	q.config.Log.Warn("background work was given up: no server knows the task", "task", job.Args.Task, "key", job.Args.Key)
	return river.JobCancel(fmt.Errorf("no server knows the task %q", job.Args.Task))
}

// do turns a panic into an error. The value of the panic is not shown, because it may contain
// personal data.
func (q *Queue) do(ctx context.Context, t Task, j Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			q.config.Log.Error("panic", "task", t.Name, "key", j.Key, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			err = fmt.Errorf("task %s panicked", t.Name)
		}
	}()
	return t.Do(ctx, j)
}

// conclude decides what happens to a job after Do.
func (q *Queue) conclude(ctx context.Context, t Task, j Job, err error) error {
	log := q.config.Log.With("task", t.Name, "key", j.Key)
	again, waits := pauseOf(err)
	switch {
	case err == nil:
		q.observe(t, Done)
		return nil
	case stopping(ctx):
		return err // River leaves the job for the next server
	case q.clock.Now().Sub(j.At) > t.GiveUp:
		return q.giveUp(ctx, t, j, err, log)
	case waits:
		q.observe(t, Waits)
		return snooze(ctx, again, errors.Is(err, symbolon.ErrRateLimited))
	}
	q.observe(t, Failed)
	log.Info("background work will be tried again", "error", err)
	return err
}

// stopping reports whether the context ended because the server stops or has lost the job,
// and not by the job's timeout.
func stopping(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// pauseOf returns the pause of an error that is not a failure.
func pauseOf(err error) (time.Duration, bool) {
	if again, ok := errors.AsType[*againError](err); ok {
		return again.after, true
	}
	var limited interface{ Wait() time.Duration }
	if errors.Is(err, symbolon.ErrRateLimited) && errors.As(err, &limited) {
		return limited.Wait(), true
	}
	return time.Second, errors.Is(err, symbolon.ErrRateLimited)
}

func snooze(ctx context.Context, d time.Duration, hold bool) error {
	if hold {
		held := min(d, holding)
		_ = wait.For(ctx, held)
		d -= held
	}
	return river.JobSnooze(max(d, 0))
}

// giveUp ends a job that is not retried again.
func (q *Queue) giveUp(ctx context.Context, t Task, j Job, why error, log *slog.Logger) error {
	log.Warn("background work was given up", "after", q.clock.Now().Sub(j.At).Round(time.Second), "error", why)
	if t.GaveUp != nil {
		t.GaveUp(ctx, j, why)
	}
	q.observe(t, GaveUp)
	return river.JobCancel(why)
}

// round ends one Do of a schedule. The job sleeps until the next one.
func (q *Queue) round(t Task, err error) error {
	pause, outcome := t.Every, Done
	if d, waits := pauseOf(err); waits {
		pause, outcome = min(d, t.Every), Waits
	} else if err != nil {
		pause, outcome = min(afterFailure(err), t.Every), Failed
		q.config.Log.Warn("scheduled work failed", "task", t.Name, "again_in", pause, "error", err)
	}
	q.observe(t, outcome)
	return river.JobSnooze(pause)
}

// afterFailure is the pause of a schedule after an error. What an outage interrupted is taken
// up within a minute.
func afterFailure(err error) time.Duration {
	if errors.Is(err, symbolon.ErrUnavailable) {
		return 15 * time.Second
	}
	return time.Minute
}

func (q *Queue) observe(t Task, outcome string) {
	if q.config.Observe != nil {
		q.config.Observe(t.Name, outcome)
	}
}
