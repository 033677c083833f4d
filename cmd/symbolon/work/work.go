// Package work is the durable background work of the server: hints that could not be
// followed at once, back-references, and schedules. A job is a row in the database of the
// links. It is put there in the transaction of its link, or before its hook is answered, so
// that no crash loses it. River (github.com/riverqueue/river) runs it on one of the servers
// of the database.
//
//	hook, link ──Put──► river_job ──► Task.Do ──► done
//	                       ▲             │ error: later, for a day
//	                       └─────────────┘ Again: later, and no failure
//
// At most one job of a task and key waits. A job that is put while another one runs waits
// for it, because the running one may already have read the old state. Every Do must be
// safe to repeat: the job of a killed server starts again on another one, about half a
// minute later; see alive.go.
//
// On Postgres, River's tables are in a schema of their own (symbolon_river). On SQLite they
// are beside Symbolon's, and an application's own River must use another file; [Queue.Start]
// refuses it.
package work

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Task is one kind of durable work. [New] gets all tasks; [Queue.Put] and [Queue.PutTx] put
// jobs. A Task with Every needs no jobs: it is repeated.
type Task struct {
	// Name identifies the task in the database. Never change it.
	Name string

	// Do does the work of one job. It may be called again for the same job, also after it
	// has succeeded, and by several servers for different keys at the same time.
	//
	// It returns nil if the job is done, and [Again] if the job must wait but nothing is
	// wrong. After symbolon.ErrRateLimited it is called again as soon as the rate limit
	// allows, and after any other error with growing pauses (2 s to 5 min) until GiveUp.
	Do func(ctx context.Context, job Job) error

	// Timeout is the time after which ctx ends. Defaults to 18 seconds. The job of a killed
	// server continues elsewhere within a minute, whatever the Timeout is.
	Timeout time.Duration

	// GiveUp is how long a job is retried. Defaults to 24 hours.
	GiveUp time.Duration

	// GaveUp, if set, is called with a job that was given up, and the reason.
	GaveUp func(ctx context.Context, job Job, why error)

	// Every makes the task a schedule, whose Job.Key is empty. All servers together run one
	// Do at a time, and the next Do begins this long after the previous one has ended. After
	// an error the pause is at most a minute. A schedule is never given up, and its pause
	// survives a restart.
	Every time.Duration

	// Overdue, if set, is asked every few seconds by every server. If it returns true, the
	// schedule begins before its time.
	Overdue func(ctx context.Context) (bool, error)

	// Asks says that the task mostly waits for Ory's rate limit. It has its own workers, so
	// that its queue does not delay other tasks.
	Asks bool

	// Priority is 1 (first) to 4. Defaults to 1.
	Priority int
}

// The outcomes that Config.Observe gets.
const (
	Done   = "done"    // complete
	Waits  = "again"   // it waits and is tried again
	Failed = "failed"  // an error, and it is tried again
	GaveUp = "gave_up" // not tried again
)

// Outcomes are the possible outcomes of a Do. A schedule is never given up.
func (t Task) Outcomes() []string {
	if t.Every > 0 {
		return []string{Done, Waits, Failed}
	}
	return []string{Done, Waits, Failed, GaveUp}
}

// Job is one piece of a task's work.
type Job struct {
	Key  string    // for example an identity's ID. At most one job waits for each key
	Note string    // the note of the first put
	At   time.Time // the time at which it was put
}

// Again returns an error that repeats a job after d, without counting as a failure. With 0
// the job goes to the end of the queue.
func Again(d time.Duration) error { return &againError{d} }

type againError struct{ after time.Duration }

func (e *againError) Error() string { return fmt.Sprintf("not yet: again in %s", e.after) }

// Config is the configuration of a queue.
type Config struct {
	// DB is the database, with the tables of [Migrate]. On SQLite it must be a separate pool
	// with one connection and "_txlock=immediate", because River reads before it writes.
	DB      *sql.DB
	Dialect sqlstore.Dialect

	// InTx runs f in a transaction that puts jobs. It is sqlstore.Store.InTx, so that on
	// SQLite jobs and links share one queue of writers, and neither starves the other.
	InTx func(ctx context.Context, f func(tx *sql.Tx) error) error

	// Listen is a direct DSN of the Postgres, for LISTEN, so that jobs begin at once. Without
	// it the queue is polled once a second.
	Listen string

	// Project distinguishes the jobs of several Ory projects in one database.
	Project string

	// Tasks are all tasks of this server.
	Tasks []Task

	// Observe, if set, gets the outcome of each Do: one of [Task.Outcomes].
	Observe func(task, outcome string)

	Log *slog.Logger // defaults to slog.Default()

	leaseTime, timeout, pulse, poll time.Duration    // set by tests
	now                             func() time.Time // the server's clock; set by tests
}

const (
	defaultTimeout = 18 * time.Second
	defaultGiveUp  = 24 * time.Hour
	softStop       = 5 * time.Second // a stopping server has 8 s
)

// Queue keeps and runs jobs. Its methods are safe for concurrent use.
type Queue struct {
	config Config
	tasks  map[string]Task
	client *river.Client[*sql.Tx]
	clock  *clock
	listen *pgxpool.Pool // nil if the queue is polled
	batch  batch
	keeper sync.WaitGroup // keep
	end    func()         // ends keep
}

// New makes a queue, without using the database. No job runs before [Queue.Start].
func New(c Config) (*Queue, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.leaseTime, c.timeout, c.pulse = cmp.Or(c.leaseTime, leaseTime), cmp.Or(c.timeout, defaultTimeout), cmp.Or(c.pulse, pulse)
	if c.now == nil {
		c.now = time.Now
	}
	q := &Queue{config: c, tasks: map[string]Task{}, clock: &clock{local: c.now}, end: func() {}}
	for _, t := range c.Tasks {
		if t.Name == "" || t.Do == nil || q.tasks[t.Name].Do != nil {
			return nil, fmt.Errorf("work: task %q needs a name of its own and Do", t.Name)
		}
		q.tasks[t.Name] = t.withDefaults()
	}
	if err := q.connect(); err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	return q, nil
}

func (t Task) withDefaults() Task {
	if t.Timeout <= 0 {
		t.Timeout = defaultTimeout
	}
	if t.GiveUp <= 0 {
		t.GiveUp = defaultGiveUp
	}
	t.Priority = cmp.Or(t.Priority, 1)
	return t
}

// Start starts the workers. It returns ErrShared if the tables have the work of another
// program. When ctx ends, no more jobs begin, and running jobs have five
// seconds. [Queue.Stop] waits for them.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.alone(ctx); err != nil {
		return err
	}
	if err := q.setClock(ctx); err != nil {
		return err
	}
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("start the background work: %w: %w", err, symbolon.ErrUnavailable)
	}
	for _, t := range q.tasks {
		if t.Every > 0 {
			if err := q.begin(ctx, t); err != nil {
				return err
			}
		}
	}
	ctx, q.end = context.WithCancel(ctx)
	q.keeper.Go(func() { q.keep(ctx) })
	return nil
}

// Stop stops the workers. Running jobs have five seconds; then their contexts end, and the
// jobs are left for the next start. If ctx ends first, that happens at once, and Stop waits
// for another second at most.
func (q *Queue) Stop(ctx context.Context) error {
	err := q.client.Stop(ctx)
	hard, cancel := wait.Detached(ctx, time.Second)
	defer cancel()
	if err != nil {
		err = errors.Join(err, q.client.StopAndCancel(hard))
	}
	if !wait.Ended(hard, q.close) {
		err = errors.Join(err, errors.New("connections are still used"))
	}
	if err != nil {
		return fmt.Errorf("stop the background work: %w", err)
	}
	return nil
}

func (q *Queue) close() {
	q.end()
	q.keeper.Wait()
	q.batch.idle.Wait()
	if q.listen != nil {
		q.listen.Close()
	}
}
