package notes

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite": pure Go
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the SQLite file at path, makes it if there is none, and brings its tables up to date.
func Open(ctx context.Context, path string) (*sql.DB, error) {
	// Pragmas belong into the DSN: executed on the pool, they would reach one connection of many.
	pragmas := url.Values{"_pragma": {"foreign_keys(1)", "journal_mode(wal)", "synchronous(full)", "busy_timeout(5000)"}, "_txlock": {"immediate"}}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: pragmas.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// migrate runs, in the order of their names, the migrations that this file has not seen. SQLite's user_version counts them.
func migrate(ctx context.Context, db *sql.DB) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer tx.Rollback()
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
