package pgxtx_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// noOry has no admin API and is never called.
var noOry = &ory.Client{PublicURL: "http://kratos:4433"}

// shared shares one pgxpool between the application and the store.
func shared(pool *pgxpool.Pool) *sql.DB { return stdlib.OpenDBFromPool(pool) }

// separate opens a pool with limits for the store.
func separate(pool *pgxpool.Pool) *sql.DB {
	return pgxtx.OpenDB(*pool.Config().ConnConfig, pgxtx.Limits{Statement: time.Minute, Lock: time.Minute, Idle: time.Minute})
}

// open makes the tables, for an application with a pgxpool and a store with a pool of
// database/sql.
func open(t *testing.T, openDB func(*pgxpool.Pool) *sql.DB) (*pgxpool.Pool, *sqlstore.Store, *link.Linker) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), symbolontest.SharedPostgres(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	db := openDB(pool)
	t.Cleanup(func() { _ = db.Close() })
	if err := migrate.Up(t.Context(), db, sqlstore.Postgres); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `create table orgs (owner uuid primary key, n int)`); err != nil {
		t.Fatal(err)
	}
	store := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres}
	return pool, store, &link.Linker{Ory: noOry, Store: store, Log: slog.New(slog.DiscardHandler)}
}

func TestFrom(t *testing.T) {
	t.Run("a shared pool", func(t *testing.T) { testFrom(t, shared) })
	t.Run("OpenDB", func(t *testing.T) { testFrom(t, separate) })
}

func testFrom(t *testing.T, openDB func(*pgxpool.Pool) *sql.DB) {
	pool, store, linker := open(t, openDB)
	ctx := t.Context()
	var fail error
	store.OnLink = func(ctx context.Context, tx *sqlstore.Tx, link symbolon.Link) error {
		pg, err := pgxtx.From(tx)
		if err != nil {
			return err
		}
		// The row of the new user is visible, because it is the same transaction.
		var seen string
		if err := pg.QueryRow(ctx, `select id::text from symbolon_users where id = $1`, link.User).Scan(&seen); err != nil || seen != string(link.User) {
			return errors.Join(errors.New("the user is not seen"), err)
		}
		if _, err := pg.Exec(ctx, `insert into orgs (owner) values ($1)`, link.User); err != nil {
			return err
		}
		var batch pgx.Batch
		batch.Queue(`update orgs set n = 1 where owner = $1`, link.User)
		batch.Queue(`update orgs set n = n + 1 where owner = $1`, link.User)
		if err := pg.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		if _, err := pg.CopyFrom(ctx, pgx.Identifier{"orgs"}, []string{"owner"}, pgx.CopyFromRows([][]any{{string(link.Identity)}})); err != nil {
			return err
		}
		rows, err := pg.Query(ctx, `select owner from orgs`)
		if err != nil {
			return err
		}
		rows.Close()
		if err := tx.SQL().QueryRowContext(ctx, `select n::text from orgs where owner = $1`, string(link.User)).Scan(&seen); err != nil || seen != "2" {
			return errors.Join(errors.New("database/sql does not see the rows that pgx wrote"), err)
		}
		return fail
	}
	count := func() (orgs, users int) {
		if err := pool.QueryRow(ctx, `select (select count(*) from orgs), (select count(*) from symbolon_users)`).Scan(&orgs, &users); err != nil {
			t.Fatal(err)
		}
		return orgs, users
	}
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13"}}
	fail = errors.New("no org today")
	if _, err := linker.Link(ctx, seen); !errors.Is(err, fail) {
		t.Fatalf("got %v", err)
	}
	if orgs, users := count(); orgs != 0 || users != 0 {
		t.Fatalf("%d orgs and %d users are left after a rollback", orgs, users)
	}
	fail = nil
	if _, err := linker.Link(ctx, seen); err != nil {
		t.Fatal(err)
	}
	if orgs, users := count(); orgs != 2 || users != 1 {
		t.Fatalf("%d orgs, %d users", orgs, users)
	}
}

func TestExecer(t *testing.T) {
	pool, store, linker := open(t, shared)
	ctx := t.Context()
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13"}}
	link, err := linker.Link(ctx, seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{false, true} {
		tx, err := pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := linker.Forget(ctx, pgxtx.Execer(tx), link.User); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tx.Exec(ctx, `delete from symbolon_users where id = $1`, link.User); err != nil {
			t.Fatal(err)
		}
		if commit {
			err = tx.Commit(ctx)
		} else {
			err = tx.Rollback(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = linker.Link(ctx, seen)
		if errors.Is(err, symbolon.ErrUserGone) != commit {
			t.Fatalf("committed %v: %v", commit, err)
		}
	}
	r, err := store.Record(ctx, "default", string(link.User))
	if err != nil || len(r.Events) != 2 || r.Events[1].Kind != symbolon.UserForgotten {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestFromAnotherDriver(t *testing.T) {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "x.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := migrate.Up(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	store := &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite}
	store.OnLink = func(_ context.Context, tx *sqlstore.Tx, _ symbolon.Link) error {
		_, err := pgxtx.From(tx)
		return err
	}
	linker := &link.Linker{Ory: noOry, Store: store, Log: slog.New(slog.DiscardHandler)}
	_, err = linker.Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13"}})
	if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}
