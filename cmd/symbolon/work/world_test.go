package work

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// torture returns the number of rounds of a test: ci in every run, all with `make
// torture`.
func torture(ci, all int) int {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return all
	}
	return ci
}

// place is a database with the tables of the ledger and of the queue.
type place struct {
	t       *testing.T
	dialect sqlstore.Dialect
	dsn     string
	app     *sql.DB // shared by the application and the store
}

func onBoth(t *testing.T, test func(t *testing.T, p *place)) {
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t, d))
		})
	}
}

func newPlace(t *testing.T, d sqlstore.Dialect) *place {
	p := &place{t: t, dialect: d}
	if d == sqlstore.SQLite {
		p.dsn = filepath.Join(t.TempDir(), "app.db")
		p.app = p.open("sqlite", migrated.SQLite(t, p.dsn))
	} else {
		p.dsn = migrated.Postgres(t)
		p.app = p.open("pgx", p.dsn)
	}
	p.app.SetMaxOpenConns(10)
	p.app.SetMaxIdleConns(10)
	if err := Migrate(t.Context(), p.own(), d); err != nil {
		t.Fatal(err)
	}
	return p
}

// bare returns a database without tables.
func bare(t *testing.T, d sqlstore.Dialect) *place {
	p := &place{t: t, dialect: d}
	if d == sqlstore.SQLite {
		p.dsn = filepath.Join(t.TempDir(), "app.db")
		p.app = p.open("sqlite", sqlstore.SQLiteDSN(p.dsn))
	} else {
		p.dsn = symbolontest.SharedPostgres(t).NewDatabase(t)
		p.app = p.open("pgx", p.dsn)
	}
	return p
}

// own opens the connections of one queue.
func (p *place) own() *sql.DB {
	if p.dialect == sqlstore.SQLite {
		db := p.open("sqlite", sqlstore.SQLiteDSN(p.dsn, "_txlock=immediate"))
		db.SetMaxOpenConns(1)
		return db
	}
	db := p.open("pgx", p.dsn)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	return db
}

func (p *place) open(driver, dsn string) *sql.DB {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = db.Close() })
	return db
}

// queue returns a queue that is not started. change may be nil.
func (p *place) queue(change func(*Config), tasks ...Task) *Queue {
	p.t.Helper()
	store := &sqlstore.Store{DB: p.app, Dialect: p.dialect}
	c := Config{DB: p.own(), Dialect: p.dialect, InTx: store.InTx, Tasks: tasks, Log: slog.New(slog.NewTextHandler(p.t.Output(), nil))}
	if change != nil {
		change(&c)
	}
	q, err := New(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return q
}

// start starts a queue and stops it at the end of the test.
func (p *place) start(q *Queue) *Queue {
	p.t.Helper()
	if err := q.Start(context.WithoutCancel(p.t.Context())); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { stop(p.t, q) })
	return q
}

func stop(t *testing.T, q *Queue) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := q.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// river returns the name of one of River's tables.
func (p *place) river(table string) string {
	if p.dialect == sqlstore.Postgres {
		return schema + "." + table
	}
	return table
}

func (p *place) count(where string) (n int) {
	p.t.Helper()
	if err := p.app.QueryRowContext(p.t.Context(), `select count(*) from `+p.river("river_job")+` where `+where).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not true after a minute: %s", what)
		}
	}
}

// tally counts calls by key.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[key]++
	return c.n[key]
}

func (c *tally) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

// bond is a linker with a fake Ory.
type bond struct {
	ory    *fakeory.Ory
	client *ory.Client
	store  *sqlstore.Store
	linker *link.Linker
	queue  *Queue
}

var secrets = []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}

// bond creates a linker and its queue as the server does. The queue is not started.
func (p *place) bond(config fakeory.Config, write link.Write, load float64) *bond {
	p.t.Helper()
	b := &bond{ory: fakeory.Start(p.t, config)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b.client = &ory.Client{PublicURL: b.ory.PublicURL, AdminURL: b.ory.AdminURL, Load: load}
	p.t.Cleanup(b.client.CloseIdleConnections)
	b.store = &sqlstore.Store{DB: p.app, Dialect: p.dialect}
	b.linker = &link.Linker{Ory: b.client, Store: b.store, Secrets: secrets, QueuedWrites: true, Log: quiet,
		BackReference: link.BackReference{Write: write}}
	b.queue = p.queue(func(c *Config) { c.Log, c.InTx = slog.New(slog.NewTextHandler(p.t.Output(), nil)), b.store.InTx }, Own(b.linker, quiet)...)
	b.store.OnLink = b.queue.OnLink(b.linker)
	return b
}

// identity creates an identity by the admin API, for which Ory calls no hook.
func (b *bond) identity(t *testing.T, n int) symbolon.IdentityID {
	t.Helper()
	id, err := b.ory.CreateIdentity(t.Context(), map[string]any{"schema_id": "default",
		"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", n)}})
	if err != nil {
		t.Fatal(err)
	}
	return symbolon.IdentityID(id)
}
