package library

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// database is the application's database. It can be stopped: Postgres by a stop of its
// server, SQLite by an exclusive lock.
type database struct {
	*sql.DB
	t       *testing.T
	dialect sqlstore.Dialect
	cluster *symbolontest.Postgres
	own     bool // the cluster belongs to this test
	path    string
	dsn     string
	locker  *sql.DB
	lock    *sql.Conn
}

// openDatabase creates an empty database for a setup.
func openDatabase(t *testing.T, dialect sqlstore.Dialect, s setup) *database {
	d := &database{t: t, dialect: dialect, own: s.stops}
	switch {
	case dialect == sqlstore.SQLite:
		d.path = filepath.Join(t.TempDir(), "app.db")
		d.dsn = migrated.SQLite(t, d.path)
		d.DB = d.mustOpen("sqlite", d.dsn)
	case s.stops:
		d.cluster = symbolontest.StartPostgres(t)
		d.dsn = d.cluster.NewDatabase(t)
		d.DB = d.mustOpen("pgx", d.dsn)
		if err := migrate.Up(t.Context(), d.DB, dialect); err != nil {
			t.Fatal(err)
		}
	default:
		d.cluster = symbolontest.SharedPostgres(t)
		d.dsn = migrated.Postgres(t)
		d.DB = d.mustOpen("pgx", d.dsn)
	}
	if s.schema != "" {
		d.exec(s.schema)
	}
	return d
}

func (d *database) mustOpen(driver, dsn string) *sql.DB {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (d *database) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.ExecContext(d.t.Context(), query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

func (d *database) int(query string, args ...any) (n int) {
	d.t.Helper()
	if err := d.QueryRowContext(d.t.Context(), query, args...).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (d *database) stop() {
	d.t.Helper()
	if d.dialect == sqlstore.Postgres {
		if !d.own {
			d.t.Fatal("this Postgres is shared and cannot be stopped: set setup.stops")
		}
		d.cluster.Stop()
		return
	}
	if d.locker == nil {
		d.locker = d.mustOpen("sqlite", "file:"+d.path+"?_pragma=busy_timeout(10000)")
	}
	conn, err := d.locker.Conn(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := conn.ExecContext(d.t.Context(), "begin exclusive"); err != nil {
		d.t.Fatal(err)
	}
	d.lock = conn
}

func (d *database) start() {
	d.t.Helper()
	if d.dialect == sqlstore.Postgres {
		if err := d.cluster.Start(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	if _, err := d.lock.ExecContext(d.t.Context(), "rollback"); err != nil {
		d.t.Fatal(err)
	}
	_ = d.lock.Close()
}

// accounts is a users table of an application from before it used Symbolon.
func accounts(dialect sqlstore.Dialect) string {
	if dialect == sqlstore.SQLite {
		return `create table accounts (id integer primary key, ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'), email text unique, plan text not null default 'free')`
	}
	return `create table accounts (id bigserial primary key, ory_identity_id uuid unique, email text unique, plan text not null default 'free')`
}

var accountUsers = sqlstore.Users{Table: "accounts", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email"}}

// withAccounts runs a test with the accounts table on both databases.
func withAccounts(t *testing.T, s setup, test func(t *testing.T, w *world)) {
	accountsOn(t, e2e.Both, s, test)
}

// withAccountsOnOne runs a test with the accounts table on one database.
func withAccountsOnOne(t *testing.T, s setup, test func(t *testing.T, w *world)) {
	accountsOn(t, e2e.One(t), s, test)
}

func accountsOn(t *testing.T, dialects []sqlstore.Dialect, s setup, test func(t *testing.T, w *world)) {
	for _, dialect := range dialects {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			s := s
			s.users, s.schema = accountUsers, accounts(dialect)
			test(t, newWorld(t, dialect, s))
		})
	}
}
