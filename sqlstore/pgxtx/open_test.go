package pgxtx_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/symbolon-id/symbolon/internal/pipeline"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// limited opens a pool with limits. writes counts what its connections send.
func limited(t *testing.T, dsn string, mode pgx.QueryExecMode, l pgxtx.Limits) (db *sql.DB, writes *atomic.Int64) {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	writes = &atomic.Int64{}
	conf.DefaultQueryExecMode = mode
	conf.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return countingConn{c, writes}, err
	}
	db = pgxtx.OpenDB(*conf, l)
	t.Cleanup(func() { _ = db.Close() })
	return db, writes
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestLimits checks that each transaction has the limits, in the round trip of its BEGIN,
// and that nothing of them is left on the connection.
func TestLimits(t *testing.T) {
	const settings = `select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only') || ' ' || current_setting('statement_timeout') ||
		' ' || current_setting('lock_timeout') || ' ' || current_setting('idle_in_transaction_session_timeout')`
	all := pgxtx.Limits{Statement: 4 * time.Second, Lock: 1500 * time.Millisecond, Idle: 3 * time.Second}
	dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
	for _, c := range []struct {
		name    string
		mode    pgx.QueryExecMode
		limits  pgxtx.Limits
		options *sql.TxOptions
		want    string
	}{
		{"default", pgx.QueryExecModeCacheStatement, all, nil, "read committed off 4s 1500ms 3s"},
		{"behind a pooler", pgx.QueryExecModeExec, all, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, "read committed off 4s 1500ms 3s"},
		{"simple protocol", pgx.QueryExecModeSimpleProtocol, all, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, "repeatable read on 4s 1500ms 3s"},
		{"one limit", pgx.QueryExecModeCacheStatement, pgxtx.Limits{Lock: time.Nanosecond}, &sql.TxOptions{Isolation: sql.LevelSerializable}, "serializable off 0 1ms 0"},
		{"no limit", pgx.QueryExecModeCacheStatement, pgxtx.Limits{}, &sql.TxOptions{ReadOnly: true}, "read committed on 0 0 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, writes := limited(t, dsn, c.mode, c.limits)
			db.SetMaxOpenConns(1)
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			before := writes.Load()
			tx, err := conn.BeginTx(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if n := writes.Load() - before; n != 1 {
				t.Errorf("BEGIN takes %d round trips", n)
			}
			var got string
			if err := tx.QueryRowContext(t.Context(), settings).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			if err := conn.QueryRowContext(t.Context(), settings).Scan(&got); err != nil || got != "read committed off 0 0 0" {
				t.Errorf("afterwards: %s (%v)", got, err)
			}
			_ = conn.Close()
		})
	}
}

// TestWrongLimits checks that a transaction whose limits Postgres refuses leaves nothing on
// its connection.
func TestWrongLimits(t *testing.T) {
	db, _ := limited(t, symbolontest.SharedPostgres(t).NewDatabase(t), pgx.QueryExecModeExec, pgxtx.Limits{Lock: 10000 * time.Hour})
	db.SetMaxOpenConns(1)
	if _, err := db.BeginTx(t.Context(), nil); code(err) != "22023" {
		t.Errorf("begin: %v", err)
	}
	if _, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelLinearizable}); err == nil {
		t.Error("an unknown isolation level was accepted")
	}
	if _, err := db.ExecContext(t.Context(), `create table t ()`); err != nil {
		t.Error(err)
	}
}

// TestVanishedTransaction has a program that vanished in a transaction. Others wait for the
// row that it has locked, but not for ever.
func TestVanishedTransaction(t *testing.T) {
	dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
	vanished, _ := limited(t, dsn, pgx.QueryExecModeExec, pgxtx.Limits{Idle: 3 * time.Second})
	other, _ := limited(t, dsn, pgx.QueryExecModeExec, pgxtx.Limits{Lock: 50 * time.Millisecond})
	for _, text := range []string{`create table t (n int)`, `insert into t values (1)`} {
		if _, err := vanished.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := vanished.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `update t set n = 2`); err != nil {
		t.Fatal(err)
	}
	waited := false
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		switch err := update(t.Context(), other); {
		case code(err) == "55P03":
			waited = true
			continue
		case err != nil:
			t.Fatal(err)
		case !waited:
			t.Error("the row was not locked")
		}
		if err := tx.Commit(); err == nil {
			t.Error("the transaction was committed")
		}
		return
	}
	t.Error("the row is still locked")
}

func update(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `update t set n = 3`); err != nil {
		return err
	}
	return tx.Commit()
}

// code is the SQLSTATE of an error.
func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// TestTogether checks that the statements of BEGIN and COMMIT are executed in their round
// trips, in every mode of the protocol, and that a failure leaves nothing.
func TestTogether(t *testing.T) {
	dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
	for name, mode := range map[string]pgx.QueryExecMode{"cached statements": pgx.QueryExecModeCacheStatement,
		"behind a pooler": pgx.QueryExecModeExec, "simple protocol": pgx.QueryExecModeSimpleProtocol} {
		t.Run(name, func(t *testing.T) {
			db, writes := limited(t, dsn, mode, pgxtx.Limits{Lock: 1500 * time.Millisecond})
			db.SetMaxOpenConns(1)
			if _, err := db.ExecContext(t.Context(), `drop table if exists t; create table t (n int primary key)`); err != nil {
				t.Fatal(err)
			}
			const insert, limits = `insert into t (n) values ($1)`, `select current_setting('lock_timeout') || ' ' || (select count(*) from t where n = $1)`
			for _, n := range []int{1, 2} {
				var got string
				before := writes.Load()
				err := together(t, db, []*pipeline.Statement{{Text: insert, Args: []any{n}}, {Text: limits, Args: []any{n}, Row: []any{&got}}},
					[]*pipeline.Statement{{Text: insert, Args: []any{-n}}})
				if trips := writes.Load() - before; err != nil || got != "1500ms 1" || n == 2 && trips != 2 {
					t.Errorf("%v; %q in %d round trips", err, got, trips)
				}
			}
			if err := together(t, db, []*pipeline.Statement{{Text: insert, Args: []any{1}}}, nil); code(err) != "23505" {
				t.Errorf("a first statement that fails: %v", err)
			}
			err := together(t, db, []*pipeline.Statement{{Text: insert, Args: []any{3}}}, []*pipeline.Statement{{Text: insert, Args: []any{1}}, {Text: insert, Args: []any{4}}})
			if code(err) != "23505" || !errors.As(err, &pipeline.RolledBack{}) {
				t.Errorf("a last statement that fails: %v", err)
			}
			var n int
			if err := db.QueryRowContext(t.Context(), `select count(*) from t`).Scan(&n); err != nil || n != 4 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}

// together runs a transaction that has only these statements.
func together(t *testing.T, db *sql.DB, first, last []*pipeline.Statement) error {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(pipeline.WithFirst(t.Context(), first...), nil)
	if err != nil {
		return err
	}
	if err := lastly(conn, last); err != nil {
		t.Fatal(err)
	}
	return tx.Commit()
}

func lastly(conn *sql.Conn, last []*pipeline.Statement) error {
	return conn.Raw(func(driverConn any) error { return driverConn.(pipeline.Conn).Last(last) })
}

// TestTogetherTooLate checks that statements for the commit are refused after a rollback.
func TestTogetherTooLate(t *testing.T) {
	db, _ := limited(t, symbolontest.SharedPostgres(t).NewDatabase(t), pgx.QueryExecModeCacheStatement, pgxtx.Limits{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := lastly(conn, []*pipeline.Statement{{Text: `create table t ()`}}); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("after a rollback: %v", err)
	}
}
