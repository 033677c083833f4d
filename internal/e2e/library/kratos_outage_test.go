package library

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// outage is a Kratos on Postgres whose database fails under load. Three replicas of an
// application share another database: two without an outage grace, and one with it.
type outage struct {
	t       *testing.T // of the current fault
	whole   *testing.T // of the whole test: replicas are used by several faults
	cluster *symbolontest.Postgres
	kratos  *symbolontest.Kratos
	direct  *sql.DB // a connection to Kratos' database
	db      *database

	mu       sync.Mutex
	replicas map[string]*replica
	diaries  map[string][]*diary // replica to the diaries of all people
	people   []*symbolontest.Person
	probe    *symbolontest.Person // only the test itself sends requests for this person
	unseen   []*symbolontest.Person
}

// outageConnections is the limit of connections to Kratos' database.
const outageConnections = 40

// outageStale is max_stale. It is longer if there are more sessions, because their
// questions must not overload Kratos, and because a busy machine's Kratos answers slowly.
var outageStale = time.Duration(e2e.Torture(2, 4)) * time.Second

// recovery is the longest time from Kratos' recovery to the replicas' recovery, on an
// idle machine.
var recovery = time.Duration(e2e.Torture(60, 2)) * time.Second

func newOutage(t *testing.T) *outage {
	o := &outage{t: t, whole: t, replicas: map[string]*replica{}, diaries: map[string][]*diary{},
		cluster: symbolontest.PostgresConfig{Settings: map[string]string{"max_connections": strconv.Itoa(outageConnections)}}.Start(t)}
	dsn := o.cluster.NewDatabase(t)
	o.kratos = symbolontest.StartKratos(t, symbolontest.KratosConfig{DSN: dsn + "&max_conns=10&max_idle_conns=10"})
	o.db = openDatabase(t, sqlstore.Postgres, setup{})
	o.direct = o.db.mustOpen("pgx", dsn)
	o.direct.SetMaxOpenConns(1) // cut does not end this connection
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	// Kratos' new connections get a statement timeout, as in production.
	o.exec(`alter database ` + strings.TrimPrefix(u.Path, "/") + ` set statement_timeout = '300ms'`)
	o.cut()
	for n := range e2e.Torture(8, 80) {
		o.people = append(o.people, o.register(mail("seen%d", n)))
	}
	o.probe = o.register(mail("probe"))
	for _, name := range []string{"one", "two", "grace"} {
		o.replicas[name] = o.start(name)
		for range o.people {
			o.diaries[name] = append(o.diaries[name], &diary{})
		}
	}
	return o
}

func (o *outage) start(name string) *replica {
	return newReplica(o.whole, o.kratos, o.db, func(v *session.Verifier) {
		v.MaxStale = outageStale
		v.Ory = &ory.Client{PublicURL: o.kratos.PublicURL, AdminURL: o.kratos.AdminURL, Timeout: 2 * time.Second}
		o.whole.Cleanup(v.Ory.CloseIdleConnections)
		if name == "grace" {
			v.OutageGrace = time.Hour
		}
	})
}

func (o *outage) register(email string) *symbolontest.Person {
	o.t.Helper()
	var err error
	for range 100 { // connections were cut
		var p *symbolontest.Person
		if p, err = o.kratos.Register(o.t.Context(), email, password, "P"); err == nil {
			return p
		}
		time.Sleep(50 * time.Millisecond)
	}
	o.t.Fatal(err)
	return nil
}

func (o *outage) exec(query string, args ...any) {
	o.t.Helper()
	if _, err := o.direct.ExecContext(o.t.Context(), query, args...); err != nil {
		o.t.Fatalf("%s: %v", query, err)
	}
}

// cut ends Kratos' connections.
func (o *outage) cut() {
	o.t.Helper()
	chaos.Terminate(o.t, o.direct, "")
}

// load sends requests for every session to every replica until it is stopped.
func (o *outage) load() (stop func()) {
	ctx, cancel := context.WithCancel(o.t.Context())
	var wg sync.WaitGroup
	for _, name := range []string{"one", "two", "grace"} {
		for n, p := range o.people {
			wg.Go(func() {
				for ctx.Err() == nil {
					o.mu.Lock()
					r := o.replicas[name]
					o.mu.Unlock()
					o.diaries[name][n].ask(r, p.Token)
					time.Sleep(40 * time.Millisecond)
				}
			})
		}
	}
	return func() { cancel(); wg.Wait() }
}

// restart replaces a replica by a new one without a cache.
func (o *outage) restart(name string) {
	fresh := o.start(name)
	o.mu.Lock()
	old := o.replicas[name]
	o.replicas[name] = fresh
	o.mu.Unlock()
	old.close()
}

// well waits until Kratos answers 200 again, and returns the time.
func (o *outage) well() time.Time {
	o.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, status, err := o.kratos.Whoami(o.t.Context(), o.probe.Token); err == nil && status == 200 {
			return time.Now()
		}
		if time.Now().After(deadline) {
			o.t.Fatal("Kratos did not recover")
		}
	}
}

// run runs one fault. After begin every new question gets no true answer. end ends the
// fault and revokes a session in Ory's database, in an order that the fault allows.
func (o *outage) run(begin func(), end func(revoke string)) {
	t := o.t
	// Only the state of the database is kept from earlier faults.
	for _, ds := range o.diaries {
		for _, d := range ds {
			d.said = nil
		}
	}
	o.unseen = nil
	for range e2e.Torture(4, 40) {
		o.unseen = append(o.unseen, o.register(mail("unseen%d", time.Now().UnixNano())))
	}
	victim := len(o.people) - 1
	o.people[victim] = o.register(mail("victim%d", time.Now().UnixNano()))
	stop := o.load()
	defer stop()
	o.everybodySeen()
	time.Sleep(outageStale) // and answers are refreshed

	begin()
	began := time.Now()
	lied := false
	for time.Since(began) < time.Minute && !lied {
		_, status, err := o.kratos.Whoami(t.Context(), o.people[0].Token)
		lied = err == nil && status == 401
	}
	if !lied {
		t.Error("Kratos does not answer 401 to a valid session, but this test needs that")
	}
	o.restart("two")
	strangers := o.askUnseen(time.Now().Add(5 * outageStale / 2))
	ended := time.Now()
	end(o.people[victim].SessionID)
	revoked := time.Now()
	well := o.well()
	time.Sleep(max(time.Until(revoked.Add(outageStale)), 0) + 500*time.Millisecond)
	o.settled(well, revoked, victim)
	stop()
	o.judge(began, ended, revoked, well, victim)
	t.Logf("Kratos failed for %s; answers to sessions that no replica knew: %v", well.Sub(began).Round(time.Millisecond), strangers)
	for _, p := range o.unseen {
		status := 0
		for began := time.Now(); status != 200 && time.Since(began) < recovery; time.Sleep(20 * time.Millisecond) {
			status = o.replicas["one"].status(p.Token)
		}
		if status != 200 {
			t.Errorf("a session that no replica knew, after the outage: %d", status)
		}
	}
}

// settled waits until all valid sessions are let in again and the revoked one is refused.
// It waits at most for the allowed time.
func (o *outage) settled(well, revoked time.Time, victim int) {
	for _, ds := range o.diaries {
		for n, d := range ds {
			for time.Since(well) < recovery {
				if n == victim && !d.firstAfter(401, revoked).IsZero() || n != victim && !d.firstAfter(200, well).IsZero() {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

// askUnseen sends requests for sessions that no replica knows, until a given time, and
// counts the answers. docs/how-fresh.md has the numbers.
func (o *outage) askUnseen(until time.Time) map[int]int {
	answers := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range o.unseen {
		wg.Go(func() {
			for time.Now().Before(until) {
				status := o.replicas["one"].status(p.Token)
				mu.Lock()
				answers[status]++
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return answers
}

// everybodySeen waits until every replica has let every person in.
func (o *outage) everybodySeen() {
	o.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		missing := ""
		for name, ds := range o.diaries {
			for n, d := range ds {
				if d.last(200).IsZero() {
					missing = fmt.Sprintf("replica %s, person %d: %d times 401, %d times 503", name, n, d.count(401, time.Time{}, deadline), d.count(503, time.Time{}, deadline))
				}
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("not let in within a minute: %s", missing)
		}
	}
}

// judge checks the diaries.
func (o *outage) judge(began, ended, revoked, well time.Time, victim int) {
	t := o.t
	var worst time.Duration
	cached := 0
	for name, ds := range o.diaries {
		for n, d := range ds {
			who := fmt.Sprintf("replica %s, person %d", name, n)
			forever := time.Now()
			if n == victim {
				if d.count(401, time.Time{}, ended) > 0 {
					t.Errorf("%s was refused before it was revoked", who)
				}
				if d.count(401, revoked, forever) == 0 || d.last(200).After(revoked.Add(outageStale)) && name != "grace" {
					t.Errorf("%s was let in %s after it was revoked", who, d.last(200).Sub(revoked))
				}
				if d.last(200).After(well.Add(recovery)) || d.last(200).After(d.firstAfter(401, revoked)) {
					t.Errorf("%s was revoked, but was let in %s after Ory recovered", who, d.last(200).Sub(well))
				}
				continue
			}
			if wrong := d.count(401, time.Time{}, forever); wrong > 0 {
				t.Errorf("%s: %d times 401 for a valid session", who, wrong)
			}
			over := began.Add(outageStale) // an answer from just before the fault is valid until then
			switch name {
			case "one":
				cached += d.count(200, began, ended)
				if late := d.count(200, over, ended); late > 0 {
					t.Errorf("%s: %d times 200 after MaxStale", who, late)
				}
			case "grace":
				if bad := d.count(503, began, forever); bad > 0 {
					t.Errorf("%s: %d times 503 in the grace", who, bad)
				}
			}
			back := d.firstAfter(200, well)
			if back.IsZero() || back.Sub(well) > recovery {
				t.Errorf("%s: recovered %s after Ory", who, back.Sub(well))
			}
			worst = max(worst, back.Sub(well))
		}
	}
	if cached == 0 {
		t.Error("no answer came from the cache")
	}
	t.Logf("%d answers from the cache; all recovered at most %s after Ory", cached, worst.Round(time.Millisecond))
}

// TestKratosOutages makes Kratos answer 401 to valid sessions in three ways (ORY-FACTS
// §11), each under load and with a replica that restarts meanwhile. No person may be
// logged out.
func TestKratosOutages(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	t.Run("database stopped", func(t *testing.T) {
		o.t = t
		o.run(o.cluster.Stop, func(session string) {
			if err := o.cluster.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.revoke(o.direct, session)
		})
	})
	t.Run("sessions table locked", func(t *testing.T) {
		o.t = t
		var tx *sql.Tx
		o.run(func() {
			var err error
			if tx, err = o.direct.BeginTx(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), `set local statement_timeout = 0; lock table sessions in access exclusive mode`); err != nil {
				t.Fatal(err)
			}
		}, func(session string) {
			o.revoke(tx, session)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("max_connections reached", func(t *testing.T) {
		o.t = t
		var release func()
		o.run(func() { release = o.crowd() }, func(session string) {
			o.revoke(o.direct, session)
			release()
		})
	})
}

func (o *outage) revoke(db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, session string) {
	o.t.Helper()
	var err error
	for range 40 { // connections from before the outage are broken
		var done sql.Result
		if done, err = db.ExecContext(o.t.Context(), `update sessions set active = false where id = $1`, session); err == nil {
			if n, _ := done.RowsAffected(); n != 1 {
				o.t.Fatalf("%d sessions were revoked", n)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	o.t.Fatal(err)
}

// crowd takes all connections of the database, after it has cut Kratos'.
func (o *outage) crowd() (release func()) {
	o.t.Helper()
	hold, err := sql.Open("pgx", o.cluster.DSN)
	if err != nil {
		o.t.Fatal(err)
	}
	o.exec(`select 1`) // one of our connections stays open
	ctx, cancel := context.WithCancel(o.t.Context())
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if conn, err := hold.Conn(ctx); err == nil {
					<-ctx.Done()
					_ = conn.Close()
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	release = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = hold.Close()
	})
	o.t.Cleanup(release)
	for deadline := time.Now().Add(time.Minute); !o.full(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatal("Kratos still has a connection")
		}
		o.cut()
	}
	return release
}

// full reports whether all connections are in use and none of them is Kratos'.
func (o *outage) full() bool {
	o.t.Helper()
	var all, others int
	const count = `select count(*), count(*) filter (where datname = current_database() and pid <> pg_backend_pid()) from pg_stat_activity where backend_type = 'client backend'`
	if err := o.direct.QueryRowContext(o.t.Context(), count).Scan(&all, &others); err != nil {
		o.t.Fatal(err)
	}
	return all == outageConnections && others == 0
}
