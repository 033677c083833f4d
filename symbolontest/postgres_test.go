package symbolontest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

func TestPostgresRestartKeepsData(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]symbolontest.PostgresConfig{
		"default": {},
		"durable": {Durable: true, Settings: map[string]string{"deadlock_timeout": "100ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := config.Start(t)
			dsn := p.NewDatabase(t)
			query(t, dsn, "create table notes (id int); insert into notes values (7)")
			p.Stop()
			if conn, err := pgconn.Connect(t.Context(), dsn); err == nil {
				_ = conn.Close(t.Context())
				t.Fatal("Postgres still answers")
			}
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := query(t, dsn, "select id from notes"); got != "7" {
				t.Fatalf("read %q", got)
			}
			want := map[bool]string{true: "on", false: "off"}[config.Durable]
			if got := query(t, dsn, "show fsync"); got != want {
				t.Fatalf("fsync is %s, want %s", got, want)
			}
		})
	}
}

func TestSharedPostgres(t *testing.T) {
	t.Parallel()
	p := symbolontest.SharedPostgres(t)
	if p != symbolontest.SharedPostgres(t) {
		t.Fatal("two shared clusters")
	}
	one, two := p.NewDatabase(t), p.NewDatabase(t)
	query(t, one, "create table notes (id int)")
	if got := query(t, two, "select count(*) from pg_tables where tablename = 'notes'"); got != "0" {
		t.Fatal("two databases have the same tables")
	}
}

// TestNewDatabaseIsDropped checks that a database is dropped at the end of its test, also
// with an open connection.
func TestNewDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	p := symbolontest.SharedPostgres(t)
	var dsn string
	var conn *pgconn.PgConn
	t.Run("use", func(t *testing.T) {
		dsn = p.NewDatabase(t)
		var err error
		if conn, err = pgconn.Connect(t.Context(), dsn); err != nil {
			t.Fatal(err)
		}
	})
	defer func() { _ = conn.Close(context.Background()) }()
	if again, err := pgconn.Connect(t.Context(), dsn); err == nil {
		_ = again.Close(t.Context())
		t.Fatal("the database still exists")
	}
}

// query runs SQL and returns the first value of the last result.
func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}
