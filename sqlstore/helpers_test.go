package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// database is an empty, migrated database of one dialect.
type database struct {
	*sql.DB
	dialect sqlstore.Dialect
	dsn     string
}

func onBoth(t *testing.T, f func(t *testing.T, db database)) {
	t.Helper()
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			f(t, open(t, dialect))
		})
	}
}

func open(t testing.TB, dialect sqlstore.Dialect) database {
	t.Helper()
	db := database{dialect: dialect}
	if dialect == sqlstore.SQLite {
		db.dsn = migrated.SQLite(t, filepath.Join(t.TempDir(), "symbolon.db"))
	} else {
		db.dsn = migrated.Postgres(t)
	}
	db.DB = db.pool(t)
	db.settle(t)
	return db
}

func (db database) migrate(t testing.TB) {
	t.Helper()
	if err := migrate.Up(context.Background(), db.DB, db.dialect); err != nil {
		t.Fatal(err)
	}
	db.settle(t)
}

// settle settles the start, because tests insert rows without an identity. The store suite
// tests starts.
func (db database) settle(t testing.TB) {
	t.Helper()
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
	if _, err := store.Settle(context.Background(), symbolon.DefaultProject, "start_fresh"); err != nil {
		t.Fatal(err)
	}
}

func openEmpty(t testing.TB, dialect sqlstore.Dialect) database {
	t.Helper()
	db := database{dialect: dialect}
	if dialect == sqlstore.SQLite {
		db.dsn = sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "symbolon.db"))
	} else {
		db.dsn = symbolontest.SharedPostgres(t).NewDatabase(t)
	}
	db.DB = db.pool(t)
	return db
}

// pool opens a pool. On Postgres it is a pool of pgxtx.OpenDB.
func (db database) pool(t testing.TB) *sql.DB {
	t.Helper()
	if db.dialect == sqlstore.SQLite {
		return db.again(t)
	}
	return limit(t, pgxPool(t, db.dsn))
}

func pgxPool(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return pgxtx.OpenDB(*conf, pgxtx.Limits{Statement: time.Minute, Lock: time.Minute, Idle: time.Minute})
}

// again opens another pool on the same database. On Postgres it is a pool of the driver.
func (db database) again(t testing.TB) *sql.DB {
	t.Helper()
	driver := map[sqlstore.Dialect]string{sqlstore.SQLite: "sqlite", sqlstore.Postgres: "pgx"}[db.dialect]
	pool, err := sql.Open(driver, db.dsn)
	if err != nil {
		t.Fatal(err)
	}
	return limit(t, pool)
}

func limit(t testing.TB, pool *sql.DB) *sql.DB {
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// oryWrites is a constraint for a column of text, so that it takes IDs only as Ory writes them.
const oryWrites = ` check (ory = lower(ory) and ory like '________-____-____-____-____________')`

func now() time.Time { return time.Now() }
