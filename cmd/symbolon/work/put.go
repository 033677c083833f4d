package work

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon"
)

// args are a job's row. River makes a key of the unique fields.
type args struct {
	Project string `json:"project" river:"unique"`
	Task    string `json:"task" river:"unique"`
	Key     string `json:"key" river:"unique"`
	Note    string `json:"note,omitempty"`
}

// Kind names our jobs among River's.
func (args) Kind() string { return "symbolon" }

// unfinished are the states in which a job holds its key.
var unfinished = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled}

// Put puts a job, unless one of the task and key waits already. When it returns nil
// the work will be done, whatever crashes. note is what the job is given beside its
// key; that of the job that waits already stays.
func (q *Queue) Put(ctx context.Context, task, key, note string) error {
	return q.put(task, key, note, func(a args, o *river.InsertOpts) (*rivertype.JobInsertResult, error) {
		return q.client.Insert(ctx, a, o)
	})
}

// PutTx is [Queue.Put] inside a transaction of the caller's: the job is there when
// that commits, and only then. On SQLite the transaction must have written before.
func (q *Queue) PutTx(ctx context.Context, tx *sql.Tx, task, key, note string) error {
	return q.put(task, key, note, func(a args, o *river.InsertOpts) (*rivertype.JobInsertResult, error) {
		return q.client.InsertTx(ctx, tx, a, o)
	})
}

type insert func(args, *river.InsertOpts) (*rivertype.JobInsertResult, error)

// put leaves it at the job that has the key, if one does: it has not begun, since a
// job gives up its key before it does ([Queue.claim]), and cannot begin before we
// commit, since the insert has locked its row.
func (q *Queue) put(task, key, note string, insert insert) error {
	t, known := q.tasks[task]
	if !known {
		return fmt.Errorf("work: there is no task %q", task)
	}
	if _, err := insert(args{Project: q.config.Project, Task: task, Key: key, Note: note}, q.options(t)); err != nil {
		return fmt.Errorf("queue %s for %s: %w: %w", task, key, err, symbolon.ErrUnavailable)
	}
	return nil
}

func (q *Queue) options(t Task) *river.InsertOpts {
	return &river.InsertOpts{Queue: q.lane(t.Asks), Priority: t.Priority, MaxAttempts: maxAttempts,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: slices.Clone(unfinished)}}
}

// begin puts the one job of a schedule, if it is not there. A pause that is longer
// than today's schedule is cut short.
func (q *Queue) begin(ctx context.Context, t Task) error {
	done, err := q.client.Insert(ctx, args{Project: q.config.Project, Task: t.Name}, q.options(t))
	if err == nil && done.UniqueSkippedAsDuplicate && time.Until(done.Job.ScheduledAt) > t.Every {
		_, err = q.client.JobRetry(ctx, done.Job.ID)
	}
	if err != nil {
		return fmt.Errorf("begin the schedule of %s: %w: %w", t.Name, err, symbolon.ErrUnavailable)
	}
	return nil
}
