// Package work is what the server still has to do when nobody waits for it: hints
// that could not be followed at once, back-references, whatever runs on a schedule.
// A job is a row beside the bond, put there in the same transaction (or before a hook
// is answered), so that no crash loses it; River (github.com/riverqueue/river) works
// it, on whichever server of the database comes first.
//
//	hook, link ──Put──► river_job ──► Task.Do ──► done
//	                       ▲             │ error: later, for a day
//	                       └─────────────┘ Again: later, and no failure
//
// Jobs of one task and key are one job: while one waits, another is not needed. A job
// that is put while one runs waits behind it, since the running one may have looked
// already. Every Do must be safe to repeat: a server that is killed leaves its job to
// another one, which begins from the start, about half a minute later.
//
// River's tables are in a schema of their own on Postgres (symbolon_river) and beside
// ours on SQLite, and its queues are ours alone: an application's own River does not
// meet them.
package work

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Task is one kind of durable work. What the rest of the server has to do durably it
// gives to [New] as one of these, and puts jobs with [Queue.Put] or [Queue.PutTx].
// A Task with Every needs no jobs: it does itself again and again.
type Task struct {
	// Name tells tasks apart in the database: never change it.
	Name string

	// Do does the work of one job. It may be called again for the same job, also
	// after it has succeeded, and by several servers for different keys at once.
	//
	// nil: done. [Again]: not yet, and nothing is wrong. symbolon.ErrRateLimited:
	// as soon as there is room. Any other error: again with longer and longer pauses
	// (2 s to 5 min) until GiveUp.
	Do func(ctx context.Context, job Job) error

	// Timeout ends ctx. Defaults to 18 seconds. However long it is, a killed server's
	// job goes on elsewhere within a minute.
	Timeout time.Duration

	// GiveUp is for how long a job is tried. Defaults to 24 hours.
	GiveUp time.Duration

	// GaveUp, if set, is told of a job that was given up, and why. The log is too.
	GaveUp func(ctx context.Context, job Job, why error)

	// Every makes a schedule of the task: one Do at a time over all servers, with an
	// empty Job.Key, again so long after it ended; after an error a minute later at
	// most. It is never given up, and a pause that began survives a restart.
	Every time.Duration

	// Asks says that the task does little else than ask Ory, and waits for its turn
	// there: it has workers of its own, so that a long queue of it delays no other.
	Asks bool

	// Priority is 1 (first) to 4. Defaults to 1.
	Priority int
}

// Job is one piece of a task's work.
type Job struct {
	Key  string    // whose: an identity's ID, say. One waits at most for each key
	Note string    // what the first who put the job had to say
	At   time.Time // when it was put
}

// Again returns the error by which a Task says: not yet, look again after d. With 0
// it goes on at once, behind whatever else waits.
func Again(d time.Duration) error { return &againError{d} }

type againError struct{ after time.Duration }

func (e *againError) Error() string { return fmt.Sprintf("not yet: again in %s", e.after) }

// Config is what a queue works with.
type Config struct {
	// DB is the database, with the tables of [Migrate]. On SQLite it must be a pool of
	// its own with one connection and "_txlock=immediate": River reads before it
	// writes.
	DB      *sql.DB
	Dialect sqlstore.Dialect

	// InTx runs f in a transaction that puts jobs: sqlstore.Store.InTx, so that on
	// SQLite they wait in one line with the bonds and neither starves the other.
	InTx func(ctx context.Context, f func(tx *sql.Tx) error) error

	// Listen is a direct DSN of the Postgres, for LISTEN: jobs begin at once. Without
	// it the queue looks for them once a second.
	Listen string

	// Project tells the jobs of several Ory projects apart that share the database.
	Project string

	// Tasks are all that this server can do.
	Tasks []Task

	// Observe, if set, is told what came of each Do: "done", "again", "failed",
	// "gave_up".
	Observe func(task, outcome string)

	Log *slog.Logger // defaults to slog.Default()

	rescueAfter, timeout, pulse, poll time.Duration // tests do not wait, or wait for ever
}

const (
	defaultTimeout = 18 * time.Second
	defaultGiveUp  = 24 * time.Hour
	rescueAfter    = 20 * time.Second // more than defaultTimeout
	softStop       = 5 * time.Second  // of the 8 s that a stopping server has
)

// Queue holds and does durable work. Its methods may be called by many goroutines.
type Queue struct {
	config Config
	tasks  map[string]Task
	client *river.Client[*sql.Tx]
	listen *pgxpool.Pool // nil: poll
	batch  batch
}

// New prepares a queue. It asks nobody; nothing is worked before [Queue.Start].
func New(c Config) (*Queue, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.rescueAfter, c.timeout, c.pulse = cmp.Or(c.rescueAfter, rescueAfter), cmp.Or(c.timeout, defaultTimeout), cmp.Or(c.pulse, pulse)
	q := &Queue{config: c, tasks: map[string]Task{}}
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
	if t.Priority == 0 {
		t.Priority = 1
	}
	return t
}

// Start begins to work. When ctx ends no more is begun, and what was begun has five
// seconds. [Queue.Stop] waits for it.
func (q *Queue) Start(ctx context.Context) error {
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
	return nil
}

// Stop ends the work: what runs has five seconds, then its context ends and it is
// left for the next start. When ctx ends first, at once.
func (q *Queue) Stop(ctx context.Context) error {
	err := q.client.Stop(ctx)
	if err != nil {
		hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, q.client.StopAndCancel(hard))
	}
	q.batch.idle.Wait() // 5 seconds at most, and nothing as a rule
	if q.listen != nil {
		q.listen.Close()
	}
	if err != nil {
		return fmt.Errorf("stop the background work: %w", err)
	}
	return nil
}
