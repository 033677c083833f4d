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

	"github.com/symbolon-id/symbolon/sqlstore"
)

// lockID keeps programs apart that migrate at once: "symbriver", as far as it fits.
const lockID = 0x73796d6272697672

// Migrate brings River's tables to the version of this program. Many programs may call
// it at once. On SQLite db is as for [Config]; on Postgres it must be a direct
// connection: it locks for its session.
func Migrate(ctx context.Context, db *sql.DB, d sqlstore.Dialect) error {
	if d == sqlstore.Postgres {
		return migratePostgres(ctx, db)
	}
	// Whoever comes second fails, looks again, and finds it done or goes on with it.
	var err error
	for pause := 10 * time.Millisecond; pause < 2*time.Second; pause = pause * 3 / 2 {
		if err = up(ctx, riversqlite.New(db), d); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
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
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, `select pg_advisory_lock($1)`, int64(lockID)); err != nil {
		return fmt.Errorf("migrate the background work: wait for the lock: %w", err)
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, int64(lockID))
	}()
	if _, err := conn.ExecContext(ctx, `create schema if not exists `+schema); err != nil {
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

// Current reports whether River's tables are there in the version of this program, or
// a newer one.
func Current(ctx context.Context, db *sql.DB, d sqlstore.Dialect) (bool, error) {
	var driver riverdriver.Driver[*sql.Tx] = riversqlite.New(db)
	if d == sqlstore.Postgres {
		driver = riverdatabasesql.New(db)
	}
	m, err := migrator(driver, d)
	if err != nil {
		return false, fmt.Errorf("look at the tables of the background work: %w", err)
	}
	result, err := m.Validate(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("look at the tables of the background work: %w", err)
	}
	return result.OK, nil
}
