package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/symbolon-id/symbolon/internal/sessionlock"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// lockID is the lock of a migration: the first eight bytes of "symbriver".
const lockID = 0x73796d6272697672

// Migrate brings River's tables to the version of this program. Several programs may call it
// at the same time. On SQLite db is the DB of [Config]. On Postgres it must be a direct
// connection, because the lock belongs to a session.
func Migrate(ctx context.Context, db *sql.DB, d sqlstore.Dialect) error {
	if d == sqlstore.Postgres {
		return migratePostgres(ctx, db)
	}
	// If two programs migrate, the second one fails, tries again, and finds it done.
	var err error
	for pause := 10 * time.Millisecond; pause < 2*time.Second; pause = pause * 3 / 2 {
		if err = up(ctx, riversqlite.New(db), d); err == nil {
			return nil
		}
		if wait.For(ctx, pause) != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
	return err
}

func migratePostgres(ctx context.Context, db *sql.DB) error {
	if ok, err := Current(ctx, db, sqlstore.Postgres); err != nil || ok {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate the background work: %w", err)
	}
	defer conn.Close()
	if err := sessionlock.Lock(ctx, conn, lockID, sessionlock.Vanished); err != nil {
		return fmt.Errorf("migrate the background work: wait for the lock: %w", err)
	}
	defer func() { _ = sessionlock.Unlock(ctx, conn, lockID) }()
	var there bool
	err = conn.QueryRowContext(ctx, `select to_regnamespace('`+schema+`') is not null`).Scan(&there)
	if err == nil && !there { // "if not exists" needs the right to create schemas even if it exists
		_, err = conn.ExecContext(ctx, `create schema `+schema)
	}
	if err != nil {
		return fmt.Errorf("migrate the background work: %w", err)
	}
	return up(ctx, riverdatabasesql.New(db), sqlstore.Postgres)
}

func up(ctx context.Context, driver riverdriver.Driver[*sql.Tx], d sqlstore.Dialect) error {
	m, err := migrator(driver, d)
	if err == nil {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return fmt.Errorf("migrate the background work: %w", err)
	}
	return nil
}

func migrator(driver riverdriver.Driver[*sql.Tx], d sqlstore.Dialect) (*rivermigrate.Migrator[*sql.Tx], error) {
	return rivermigrate.New(driver, &rivermigrate.Config{Schema: schemaOf(d), Logger: slog.New(slog.DiscardHandler)})
}

// Current reports whether River's tables have the version of this program, or a newer one.
func Current(ctx context.Context, db *sql.DB, d sqlstore.Dialect) (bool, error) {
	var driver riverdriver.Driver[*sql.Tx] = riversqlite.New(db)
	if d == sqlstore.Postgres {
		driver = riverdatabasesql.New(db)
	}
	m, err := migrator(driver, d)
	if err != nil {
		return false, fmt.Errorf("read the tables of the background work: %w", err)
	}
	result, err := m.Validate(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("read the tables of the background work: %w", err)
	}
	return result.OK, nil
}
