// Package migrate makes Symbolon's own tables. Nothing else in the library makes or alters
// them. A program calls [Up] when its operator wants this, or runs sqlstore.Migrations with
// its own migration tool.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/symbolon-id/symbolon/internal/sessionlock"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// ErrNewer says that a newer version of Symbolon made the tables. This version must not write
// to them.
var ErrNewer = errors.New("the tables are newer than this program: upgrade the program")

// lockID is the number of the lock for programs that start at the same time: "symbolon" in
// ASCII.
const lockID = 0x73796d626f6c6f6e

// Up brings the tables to the newest version. Many programs may call it at the same time.
// One of them does the work, and the others wait for it. There are no down migrations.
func Up(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect) error {
	if dialect == sqlstore.Postgres {
		return up(ctx, db, dialect)
	}
	// SQLite has no lock to wait for. The second program fails and tries again. By then the
	// work is done, or the second program continues it.
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

// busy reports whether another connection holds SQLite's lock.
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
		return nil
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

// makeSchema makes the schema before goose is called, because goose makes a table of its own
// in the schema before it locks.
func makeSchema(ctx context.Context, db *sql.DB) error {
	for tries := 0; ; tries++ {
		var there bool
		if err := db.QueryRowContext(ctx, `select to_regnamespace('symbolon') is not null`).Scan(&there); err != nil || there {
			return err
		}
		if _, err := db.ExecContext(ctx, `create schema symbolon`); err != nil && tries > 0 {
			return err // another program may have been faster the first time
		}
	}
}

// locker is the lock for programs that start at the same time. goose's own lock polls every
// few seconds; this lock waits in the database.
type locker struct{}

func (locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return sessionlock.Lock(ctx, conn, lockID, sessionlock.Vanished)
}

// SessionUnlock gets a context without a deadline from goose.
func (locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return sessionlock.Unlock(ctx, conn, lockID)
}

// Current returns the version of the tables and the version that this program wants. have is 0
// if there are no tables.
func Current(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect) (have, want int64, err error) {
	files, err := fs.ReadDir(sqlstore.Migrations, string(dialect))
	if err != nil {
		return 0, 0, fmt.Errorf("migrate: dialect %q is neither sqlite nor postgres", dialect)
	}
	want = int64(len(files)) // they are numbered from 1 without gaps
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
