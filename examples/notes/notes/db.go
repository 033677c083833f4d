package notes

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	_ "modernc.org/sqlite" // the driver "sqlite": pure Go

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// People describes our users table for Symbolon: the table, the column for the identity, and the columns to fill from it.
func People() sqlstore.Users {
	return sqlstore.Users{
		Table:    "people",
		Identity: "ory_identity_id",
		NewID:    sqlstore.ByMint, // a UUIDv7 that Ory can get before the row exists
		Columns:  map[string]string{"email": "traits.email", "name": "default(traits.name.first, '')"},
	}
}

func people(db *sql.DB) *sqlstore.Store {
	return &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite, Users: People()}
}

// Open opens or creates the SQLite file at path, and migrates our tables and Symbolon's.
func Open(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(path, "_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	err = migrateOwn(ctx, db)
	if err == nil {
		err = migrate.Up(ctx, db, sqlstore.SQLite)
	}
	if err == nil {
		err = people(db).Check(ctx) // reports all faults of the tables, each with its repair
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// migrateOwn runs the new migrations in the order of their names. SQLite's user_version counts the ones that have run.
func migrateOwn(ctx context.Context, db *sql.DB) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	var done int
	if err := tx.QueryRowContext(ctx, "pragma user_version").Scan(&done); err != nil {
		return fmt.Errorf("migrate: read version: %w", err)
	}
	for _, name := range names[min(done, len(names)):] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migrate: %s: %w", name, err)
		}
	}
	if done < len(names) {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("pragma user_version = %d", len(names))); err != nil {
			return fmt.Errorf("migrate: write version: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
