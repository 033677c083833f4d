// Package migrate makes Symbolon's own tables. Nothing else in the library does:
// a program calls [Up] when its operator says so, or hands sqlstore.Migrations to
// the tool that it has for its own.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// ErrNewer says that the database was made by a newer version of Symbolon, which
// this one must not write to.
var ErrNewer = errors.New("the tables are newer than this program: upgrade it")

// lockID keeps programs that start together apart: "symbolon" in ASCII.
const lockID = 0x73796d626f6c6f6e

// Up brings the tables to the newest version. It may be called by many programs at
// once: one of them works, the others wait and find it done. There is no way down.
func Up(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect) error {
	if dialect == sqlstore.Postgres {
		return up(ctx, db, dialect)
	}
	// SQLite has no lock to wait for: whoever comes second fails, looks again, and
	// finds the work done or goes on with it. A fault that stays is one.
	var err error
	for tries, pause := 0, 10*time.Millisecond; pause < 2*time.Second; tries, pause = tries+1, pause*3/2 {
		err = up(ctx, db, dialect)
		if err == nil || errors.Is(err, ErrNewer) || tries >= 3 && !busy(err) {
			return err
		}
		if ended := wait.For(ctx, pause); ended != nil {
			return errors.Join(ended, err)
		}
	}
	return err
}

// busy says that somebody else holds SQLite's lock.
func busy(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && (e.Code()&0xff == 5 || e.Code()&0xff == 6)
}

func up(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect) error {
	have, want, err := Current(ctx, db, dialect)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("migrate: version %d, this program knows %d: %w", have, want, ErrNewer)
	}
	if have == want {
		return nil // whoever did it
	}
	if dialect == sqlstore.Postgres {
		if err := makeSchema(ctx, db); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	p, err := provider(db, dialect)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func provider(db *sql.DB, dialect sqlstore.Dialect) (*goose.Provider, error) {
	files, err := fs.Sub(sqlstore.Migrations, string(dialect))
	if err != nil {
		return nil, err
	}
	if dialect == sqlstore.Postgres {
		return goose.NewProvider(goose.DialectPostgres, db, files,
			goose.WithTableName("symbolon.migrations"), goose.WithSessionLocker(locker{}), goose.WithDisableGlobalRegistry(true))
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName("symbolon_migrations"), goose.WithDisableGlobalRegistry(true))
}

// makeSchema makes room for goose's own table, which goose wants before it locks.
func makeSchema(ctx context.Context, db *sql.DB) error {
	for tries := 0; ; tries++ {
		var there bool
		if err := db.QueryRowContext(ctx, `select to_regnamespace('symbolon') is not null`).Scan(&there); err != nil || there {
			return err
		}
		if _, err := db.ExecContext(ctx, `create schema symbolon`); err != nil && tries > 0 {
			return err // the first time somebody else may have been faster
		}
	}
}

// locker keeps programs apart that start together. goose's own asks again every
// few seconds; this one is told at once.
type locker struct{}

func (locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `select pg_advisory_lock($1)`, int64(lockID))
	return err
}

func (locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `select pg_advisory_unlock($1)`, int64(lockID))
	return err
}

// Current says which version the tables have and which one this program wants.
// Without any tables have is 0.
func Current(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect) (have, want int64, err error) {
	if want, err = newest(dialect); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	exists, version := `select to_regclass('symbolon.layout') is not null`, `select version from symbolon.layout`
	if dialect == sqlstore.SQLite {
		exists, version = `select count(*) > 0 from sqlite_schema where name = 'symbolon_layout'`, `select version from symbolon_layout`
	}
	var there bool
	if err := db.QueryRowContext(ctx, exists).Scan(&there); err != nil {
		return 0, want, fmt.Errorf("migrate: read the version: %w", err)
	}
	if !there {
		return 0, want, nil
	}
	if err := db.QueryRowContext(ctx, version).Scan(&have); err != nil {
		return 0, want, fmt.Errorf("migrate: read the version: %w", err)
	}
	return have, want, nil
}

// newest is the number of the last migration.
func newest(dialect sqlstore.Dialect) (n int64, err error) {
	files, err := fs.ReadDir(sqlstore.Migrations, string(dialect))
	if err != nil {
		return 0, fmt.Errorf("dialect %q is neither sqlite nor postgres", dialect)
	}
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if n, err = strconv.ParseInt(number, 10, 64); err != nil {
			return 0, fmt.Errorf("the file %s has no number", f.Name())
		}
	}
	return n, nil
}
