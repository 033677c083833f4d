package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestOneRunsAndOneWaits puts a hundred jobs for one key while one runs. Exactly one job
// is left, and it begins after the last put.
func TestOneRunsAndOneWaits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var runs, together, most atomic.Int32
		began, goOn := make(chan struct{}, 8), make(chan struct{})
		q := p.start(p.queue(nil, Task{Name: "look", Do: func(context.Context, Job) error {
			most.Store(max(most.Load(), together.Add(1)))
			defer together.Add(-1)
			runs.Add(1)
			began <- struct{}{}
			<-goOn
			return nil
		}}))
		put := func() {
			if err := q.Put(t.Context(), "look", "ann", ""); err != nil {
				t.Error(err)
			}
		}
		put()
		<-began
		var all sync.WaitGroup
		for range 100 {
			all.Go(put)
		}
		all.Wait()
		if n := p.count(`state <> 'completed'`); n != 2 { // the waiting job checks now and then whether it may run
			t.Errorf("%d jobs, want a running one and a waiting one", n)
		}
		goOn <- struct{}{}
		<-began
		put() // a third job, while the second runs
		goOn <- struct{}{}
		<-began
		goOn <- struct{}{}
		eventually(t, "all jobs are done", func() bool { return p.count(`state <> 'completed'`) == 0 })
		if runs.Load() != 3 || most.Load() != 1 {
			t.Errorf("%d runs, %d of them together; want 3, one after the other", runs.Load(), most.Load())
		}
	})
}

// TestNoHintIsSwallowed raises a counter before each put, and each run reads it. In every
// order the last run must read the last value.
func TestNoHintIsSwallowed(t *testing.T) {
	t.Parallel()
	const keys = 5
	onBoth(t, func(t *testing.T, p *place) {
		var raised, seen [keys]atomic.Int64
		do := func(_ context.Context, job Job) error {
			k := int(job.Key[0] - 'a')
			v := raised[k].Load()
			time.Sleep(time.Millisecond)
			for old := seen[k].Load(); old < v && !seen[k].CompareAndSwap(old, v); old = seen[k].Load() {
			}
			return nil
		}
		q := p.start(p.queue(nil, Task{Name: "look", Do: do}))
		other := p.start(p.queue(nil, Task{Name: "look", Do: do}))
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range torture(30, 300) {
					k := (i + w) % keys
					raised[k].Add(1)
					var err error
					for range 5 { // a busy database refuses a put with an error, which is not swallowed
						if err = []*Queue{q, other}[w%2].Put(t.Context(), "look", string(rune('a'+k)), ""); !errors.Is(err, symbolon.ErrUnavailable) {
							break
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		eventually(t, "all jobs are done", func() bool { return p.count(`state <> 'completed'`) == 0 })
		for k := range keys {
			if raised[k].Load() != seen[k].Load() {
				t.Errorf("key %d: the last run saw %d of %d", k, seen[k].Load(), raised[k].Load())
			}
		}
	})
}

// TestJobIsTheTransactions checks that a rollback also removes the job.
func TestJobIsTheTransactions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		q := p.start(p.queue(nil, Task{Name: "t", Do: func(_ context.Context, j Job) error { did.add(j.Key + j.Note); return nil }}))
		for key, commit := range map[string]bool{"kept": true, "undone": false} {
			tx, err := p.app.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), `create table x_`+key+` (n integer)`); err != nil {
				t.Fatal(err)
			}
			if err := q.PutTx(t.Context(), tx, "t", key, "!"); err != nil {
				t.Fatal(err)
			}
			if err := end(tx, commit); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the job is done", func() bool { return did.of("kept!") == 1 })
		if n := p.count(`1 = 1`); n != 1 {
			t.Errorf("%d jobs, want 1", n)
		}
	})
}

func end(tx *sql.Tx, commit bool) error {
	if commit {
		return tx.Commit()
	}
	return tx.Rollback()
}

// TestWhatBecomesOfAJob checks that errors and panics are tried again, that Again is not
// a failure, and that a job that is too old is given up and reported.
func TestWhatBecomesOfAJob(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did, gone, saw tally
		do := func(_ context.Context, j Job) error {
			n := did.add(j.Key)
			switch {
			case j.Key == "hopeless":
				return errors.New("no")
			case n > 1 && j.Key != "often" || n > 20:
				return nil
			case j.Key == "fails":
				return fmt.Errorf("not now: %w", symbolon.ErrUnavailable)
			case j.Key == "panics":
				panic("a secret")
			case j.Key == "limited":
				return fmt.Errorf("later: %w", symbolon.ErrRateLimited)
			}
			return Again(0)
		}
		q := p.queue(func(c *Config) {
			c.Observe = func(_, outcome string) { saw.add(outcome) }
			c.poll = 100 * time.Millisecond // one of the jobs polls twenty times
		},
			Task{Name: "t", Do: do},
			Task{Name: "brief", Do: do, GiveUp: time.Nanosecond, GaveUp: func(_ context.Context, j Job, _ error) { gone.add(j.Key) }})
		for task, keys := range map[string][]string{"t": {"fails", "panics", "limited", "often"}, "brief": {"hopeless"}} {
			for _, key := range keys {
				if err := q.Put(t.Context(), task, key, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.start(q)
		eventually(t, "all jobs are done", func() bool { return p.count(`state = 'completed'`) == 4 && p.count(`state = 'cancelled'`) == 1 })
		if gone.of("hopeless") != 1 || did.of("hopeless") != 1 {
			t.Errorf("the failing job was tried %d times and given up %d times", did.of("hopeless"), gone.of("hopeless"))
		}
		if did.of("often") != 21 || saw.of("gave_up") != 1 || saw.of("failed") != 2 || saw.of("done") != 4 {
			t.Errorf("%d slices; outcomes %v", did.of("often"), saw.n)
		}
	})
}

// TestScheduleRunsOnOneServer has three servers. Only one at a time runs the schedule,
// with the pause in between, also after an error. A stop of a server changes nothing.
func TestScheduleRunsOnOneServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var runs, together atomic.Int32
		task := Task{Name: "reconcile", Every: 300 * time.Millisecond, Do: func(_ context.Context, j Job) error {
			if together.Add(1) > 1 {
				t.Error("two at once")
			}
			defer together.Add(-1)
			time.Sleep(50 * time.Millisecond)
			if runs.Add(1) == 2 {
				return errors.New("once it fails")
			}
			return nil
		}}
		first := p.queue(nil, task)
		if err := first.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.start(p.queue(nil, task))
		p.start(p.queue(nil, task))
		eventually(t, "the schedule runs twice", func() bool { return runs.Load() >= 2 })
		stop(t, first)
		start, before := time.Now(), runs.Load()
		eventually(t, "the schedule runs six more times", func() bool { return runs.Load() >= before+6 })
		if took := time.Since(start); took < 5*300*time.Millisecond {
			t.Errorf("six runs in %s: the pause is not kept", took)
		}
		if n := p.count(`1 = 1`); n != 1 {
			t.Errorf("%d jobs, want the one", n)
		}
	})
}

// TestRescue checks that a job that a killed server left running is started again,
// however long it was allowed to run.
func TestRescue(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		task := Task{Name: "t", Timeout: time.Hour, Do: func(_ context.Context, j Job) error { did.add(j.Key); return nil }}
		q := p.queue(func(c *Config) { c.pulse = 50 * time.Millisecond }, task)
		if err := q.Put(t.Context(), "t", "left", ""); err != nil {
			t.Fatal(err)
		}
		long := time.Now().UTC().Add(-time.Minute).Format("2006-01-02 15:04:05.000")
		if _, err := p.app.ExecContext(t.Context(), `update `+p.river("river_job")+` set state = 'running', attempt = 1, attempted_at = '`+long+`'`); err != nil {
			t.Fatal(err)
		}
		p.start(q)
		eventually(t, "the job is done", func() bool { return did.of("left") == 1 })
	})
}

// TestRescueOfASchedule checks that a schedule's one job is never given up, and that the
// pause after a kill does not grow with the number of kills.
func TestRescueOfASchedule(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		task := Task{Name: "t", Every: time.Hour, Do: func(context.Context, Job) error { did.add("done"); return nil }}
		q := p.queue(func(c *Config) { c.pulse = 50 * time.Millisecond }, task)
		if err := q.begin(t.Context(), q.tasks["t"]); err != nil {
			t.Fatal(err)
		}
		long := time.Now().UTC().Add(-time.Minute).Format("2006-01-02 15:04:05.000")
		if _, err := p.app.ExecContext(t.Context(), `update `+p.river("river_job")+` set state = 'running', attempt = 20, attempted_at = '`+long+`'`); err != nil {
			t.Fatal(err)
		}
		p.start(q)
		eventually(t, "the job is done", func() bool { return did.of("done") == 1 })
	})
}

// TestScheduleOfAnother checks that a server without a schedule in its configuration does
// not stop the schedule of other servers, however old the job is.
func TestScheduleOfAnother(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		task := Task{Name: "t", Every: time.Hour, Do: func(context.Context, Job) error { did.add("done"); return nil }}
		q := p.queue(nil, task)
		if err := q.begin(t.Context(), q.tasks["t"]); err != nil {
			t.Fatal(err)
		}
		p.age(48 * time.Hour)
		other := p.queue(nil, Task{Name: "else", Do: func(context.Context, Job) error { return nil }})
		if err := other.Start(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other server has seen the job", func() bool { return p.count(`state = 'scheduled' or finalized_at is not null`) == 1 })
		stop(t, other)
		if p.count(`finalized_at is not null`) > 0 {
			t.Error("the schedule was stopped for all servers")
		}
		p.hurry()
		p.start(q)
		eventually(t, "the job is done", func() bool { return did.of("done") == 1 })
	})
}

// TestLongWork checks that a job may run longer than River's limit. Its timestamp is
// renewed, so that it does not look like the job of a killed server. The stop of the
// server ends it.
func TestLongWork(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		ended := make(chan error, 1)
		task := Task{Name: "t", Timeout: time.Minute, Do: func(ctx context.Context, _ Job) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}}
		q := p.queue(func(c *Config) {
			c.timeout, c.pulse = 50*time.Millisecond, 20*time.Millisecond
		}, task)
		if err := q.Put(t.Context(), "t", "long", ""); err != nil {
			t.Fatal(err)
		}
		if err := q.Start(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the job runs", func() bool { return p.count(`state = 'running'`) == 1 })
		began := p.attempted()
		eventually(t, "the job's start time is renewed", func() bool { return p.attempted() > began })
		stop(t, q)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the job ended with %v", err)
		}
	})
}

// TestTakeOver has a server that does not renew its job any more. Another server begins the
// job again.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var hung, did tally
		goOn := make(chan struct{})
		first := p.start(p.queue(func(c *Config) { c.pulse = time.Hour }, Task{Name: "t", Do: func(_ context.Context, j Job) error {
			hung.add(j.Key)
			<-goOn
			return nil
		}}))
		defer close(goOn)
		if err := first.Put(t.Context(), "t", "ann", ""); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the job runs", func() bool { return hung.of("ann") == 1 })
		p.start(p.queue(func(c *Config) { c.pulse, c.leaseTime = 50*time.Millisecond, time.Second },
			Task{Name: "t", Do: func(_ context.Context, j Job) error { did.add(j.Key); return nil }}))
		eventually(t, "the job is done", func() bool { return did.of("ann") == 1 })
	})
}

// TestSilentNotifier silences the connection on which Postgres notifies the queue. Jobs and
// schedules go on, because the queue also polls.
func TestSilentNotifier(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqlstore.Postgres)
	u, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	relay := chaos.NewRelay(t, u.Host)
	u.Host = relay.Address
	var did tally
	do := func(key string) func(context.Context, Job) error {
		return func(_ context.Context, j Job) error { did.add(key + j.Key); return nil }
	}
	q := p.queue(func(c *Config) { c.Listen = u.String() }, Task{Name: "t", Do: do("job ")}, Task{Name: "often", Do: do("schedule"), Every: time.Second})
	if err := q.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	put := func(key string) {
		t.Helper()
		if err := q.Put(t.Context(), "t", key, ""); err != nil {
			t.Fatal(err)
		}
		eventually(t, key+" is done", func() bool { return did.of("job "+key) == 1 })
	}
	put("before")
	relay.FallSilent()
	relay.Drop(true)
	rounds := did.of("schedule")
	put("after")
	eventually(t, "the schedule goes on", func() bool { return did.of("schedule") > rounds+1 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = q.Stop(ctx) // the silent connection is left to the end of the process
}

// TestWrongServerClock runs the queue on a server whose clock is an hour off. The pauses are
// still those of the tasks.
func TestWrongServerClock(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		for name, off := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
			var did tally
			task := func(name string, every time.Duration) Task {
				return Task{Name: name, Every: every, Do: func(context.Context, Job) error { did.add(name); return nil }}
			}
			often, seldom := "often "+name, "seldom "+name
			q := p.queue(func(c *Config) { c.now = func() time.Time { return time.Now().Add(off) } }, task(often, 300*time.Millisecond), task(seldom, time.Hour))
			if err := q.Start(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			eventually(t, often+" is repeated", func() bool { return did.of(often) > 2 && did.of(seldom) > 0 })
			next := map[sqlstore.Dialect]string{
				sqlstore.SQLite:   `scheduled_at between datetime('now', '59 minutes') and datetime('now', '61 minutes')`,
				sqlstore.Postgres: `scheduled_at between now() + interval '59 minutes' and now() + interval '61 minutes'`,
			}[p.dialect]
			eventually(t, seldom+" has its pause", func() bool { return p.count(next+` and cast(args as text) like '%`+seldom+`%'`) == 1 })
			if n := did.of(seldom); n != 1 {
				t.Errorf("%s was done %d times", seldom, n)
			}
			stop(t, q)
		}
	})
}

// TestLostLease checks that the context of a job ends if another server may have the job.
func TestLostLease(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		for name, lose := range map[string]func(*Queue){
			"another server has it":        func(*Queue) {}, // there is no such job with this attempt
			"the database does not answer": func(q *Queue) { _ = q.config.DB.Close() },
		} {
			q := p.queue(func(c *Config) { c.pulse, c.leaseTime = 20*time.Millisecond, 100*time.Millisecond })
			lose(q)
			ctx, done := q.alive(t.Context(), Task{}, &rivertype.JobRow{ID: 1, Attempt: 1})
			<-ctx.Done()
			if err := context.Cause(ctx); !errors.Is(err, errLost) {
				t.Errorf("%s: %v", name, err)
			}
			done()
		}
	})
}

// attempted returns the time of the job's start in the database.
func (p *place) attempted() (at string) {
	p.t.Helper()
	if err := p.app.QueryRowContext(p.t.Context(), `select cast(attempted_at as text) from `+p.river("river_job")).Scan(&at); err != nil {
		p.t.Fatal(err)
	}
	return at
}

// TestStop checks that a stop waits for running jobs, and cancels them after the soft
// stop. They run again after the next start. A job that is put later is kept, or still done
// before the stop.
func TestStop(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		began := make(chan struct{}, 2)
		task := Task{Name: "t", Do: func(ctx context.Context, j Job) error {
			if did.add(j.Key) > 1 {
				return nil
			}
			began <- struct{}{}
			if j.Key == "endless" {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Second)
			did.add(j.Key + " ended")
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		q := p.queue(nil, task)
		for _, key := range []string{"slow", "endless"} {
			if err := q.Put(ctx, "t", key, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Start(ctx); err != nil {
			t.Fatal(err)
		}
		<-began
		<-began
		cancel()
		if err := q.Put(t.Context(), "t", "late", ""); err != nil {
			t.Errorf("while stopping: %v", err)
		}
		stop(t, q)
		if did.of("slow ended") != 1 {
			t.Errorf("the slow job ended %d times", did.of("slow ended"))
		}
		p.start(p.queue(nil, task))
		eventually(t, "the remaining jobs are done", func() bool { return did.of("endless") == 2 && did.of("late") == 1 })
	})
}

// TestListen checks that with a direct DSN a new job starts at once, whatever the poll
// interval is.
func TestListen(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqlstore.Postgres)
	var did tally
	q := p.start(p.queue(func(c *Config) { c.Listen, c.poll = p.dsn, time.Hour },
		Task{Name: "t", Do: func(_ context.Context, j Job) error { did.add(j.Key); return nil }}))
	for round := range 5 { // the start may find the first job
		put := 0
		eventually(t, "the job begins", func() bool {
			put++ // put again, because a notification is lost if it comes before the queue listens
			if err := q.Put(t.Context(), "t", fmt.Sprint(round, " ", put), ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			return did.of(fmt.Sprint(round, " 1")) > 0
		})
	}
}

// TestPooler runs every statement without prepared statements, as a pooler in transaction
// mode requires.
func TestPooler(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqlstore.Postgres)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			var did tally
			db := p.open("pgx", p.dsn+"&default_query_exec_mode="+mode)
			q := p.queue(func(c *Config) { c.DB = db }, Task{Name: "t", Do: func(_ context.Context, j Job) error {
				if did.add(j.Key) == 1 {
					return Again(0)
				}
				return nil
			}})
			if err := q.Start(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			defer stop(t, q)
			if err := q.Put(t.Context(), "t", "x", ""); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the job is done", func() bool { return did.of("x") == 2 && p.count(`state <> 'completed'`) == 0 })
		})
	}
}

// TestProjectsAreApart checks that two projects on one database run only their own jobs.
func TestProjectsAreApart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		var did tally
		var queues []*Queue
		for _, project := range []string{"default", "Other.1"} {
			queues = append(queues, p.start(p.queue(func(c *Config) { c.Project = project },
				Task{Name: "t", Do: func(context.Context, Job) error { did.add(project); return nil }})))
		}
		for n := range 3 {
			if err := queues[1].Put(t.Context(), "t", fmt.Sprint(n), ""); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all jobs are done", func() bool { return p.count(`state = 'completed'`) == 3 })
		if did.of("Other.1") != 3 || did.of("default") != 0 {
			t.Errorf("done by %v", did.n)
		}
	})
}

// TestMigrateTogether runs migrations in four programs at once.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(d), func(t *testing.T) {
			p := bare(t, d)
			var all sync.WaitGroup
			for range 4 {
				db := p.own()
				all.Go(func() {
					if err := Migrate(t.Context(), db, p.dialect); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if ok, err := Current(t.Context(), p.own(), p.dialect); err != nil || !ok {
				t.Errorf("current: %v, %v", ok, err)
			}
		})
	}
}
