package work

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon"
)

// args are the arguments of a job. River makes a key from the unique fields.
type args struct {
	Project string `json:"project" river:"unique"`
	Task    string `json:"task" river:"unique"`
	Key     string `json:"key" river:"unique"`
	Note    string `json:"note,omitempty"`
}

// Kind is the name of the jobs in River.
func (args) Kind() string { return "symbolon" }

// unfinished are the states in which the key of a job is unique.
var unfinished = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled}

// PutTx is [Queue.Put] inside a transaction of the caller. The job exists if the transaction
// commits. On SQLite the transaction must have written before.
func (q *Queue) PutTx(ctx context.Context, tx *sql.Tx, task, key, note string) error {
	job, err := q.job(task, key, note)
	if err != nil {
		return err
	}
	if _, err := q.client.InsertTx(ctx, tx, job.Args, job.InsertOpts); err != nil {
		return fmt.Errorf("queue %s for %s: %w: %w", task, key, err, symbolon.ErrUnavailable)
	}
	return nil
}

// Put puts a job, unless a job with the same task and key is already waiting. If it returns
// nil, the work will be done, even after a crash. note is text for the job. A waiting job
// keeps its first note.
//
// The waiting job can replace the new one, because it begins later and will see everything
// that was written before the Put. A job with this key has not begun, because a job changes
// its key before it begins ([Queue.claim]). It also cannot begin before the Put is committed,
// because the insert locks the row of the waiting job.
func (q *Queue) Put(ctx context.Context, task, key, note string) error {
	job, err := q.job(task, key, note)
	if err != nil {
		return err
	}
	p := &putting{job: job, key: task + " " + key, done: make(chan error, 1)}
	q.batch.add(p, q.putAll)
	select {
	case err := <-p.done:
		if err != nil {
			return fmt.Errorf("queue %s for %s: %w: %w", task, key, err, symbolon.ErrUnavailable)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue %s for %s: %w", task, key, ctx.Err())
	}
}

func (q *Queue) job(task, key, note string) (river.InsertManyParams, error) {
	t, known := q.tasks[task]
	if !known {
		return river.InsertManyParams{}, fmt.Errorf("work: there is no task %q", task)
	}
	return river.InsertManyParams{Args: args{Project: q.config.Project, Task: task, Key: key, Note: note}, InsertOpts: q.options(t)}, nil
}

// batch collects the jobs that are put during a transaction, and puts all of them in the next
// one. A database makes some hundreds of commits a second, and a burst of hooks may need
// more.
type batch struct {
	mu      sync.Mutex
	waiting []*putting
	running bool
	idle    sync.WaitGroup
}

type putting struct {
	job  river.InsertManyParams
	key  string
	done chan error
}

const (
	maxBatch   = 200
	putTimeout = 5 * time.Second
)

func (b *batch) add(p *putting, put func([]*putting)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, p)
	if !b.running {
		b.running = true
		b.idle.Go(func() {
			for some := b.take(); len(some) > 0; some = b.take() {
				put(some)
			}
		})
	}
}

func (b *batch) take() []*putting {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), maxBatch)
	some := b.waiting[:n]
	b.waiting = b.waiting[n:]
	b.running = n > 0
	return some
}

// putAll puts the jobs in one transaction, and each key once.
func (q *Queue) putAll(some []*putting) {
	ctx, cancel := context.WithTimeout(context.Background(), putTimeout)
	defer cancel()
	var jobs []river.InsertManyParams
	seen := map[string]bool{}
	for _, p := range some {
		if !seen[p.key] {
			seen[p.key], jobs = true, append(jobs, p.job)
		}
	}
	err := q.config.InTx(ctx, func(tx *sql.Tx) error {
		_, err := q.client.InsertManyTx(ctx, tx, jobs)
		return err
	})
	for _, p := range some {
		p.done <- err
	}
}

func (q *Queue) options(t Task) *river.InsertOpts {
	return &river.InsertOpts{Queue: q.lane(t.Asks), Priority: t.Priority, MaxAttempts: maxAttempts,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: slices.Clone(unfinished)}}
}

// begin puts the one job of a schedule, unless it exists. If the job sleeps for longer than
// the current pause of the schedule, it is woken.
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
