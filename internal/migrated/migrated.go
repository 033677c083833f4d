// Package migrated gives tests databases that have Symbolon's tables. The migrations run
// once for each test binary and dialect. Every test gets a copy of the result, which takes
// a fifth of the time of the migrations. The test imports the drivers "sqlite" and "pgx".
package migrated

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// patience limits the migrations and each statement.
const patience = 3 * time.Minute

// original is the name of the Postgres database that the tests copy.
const original = "symbolon_original"

// made has the originals of this test binary.
var made struct {
	mu       sync.Mutex
	postgres bool
	sqlite   []byte // content of the file
}

// Postgres creates a database with Symbolon's tables in the shared Postgres and returns its
// DSN. The database is dropped at the end of the test.
func Postgres(t testing.TB) (dsn string) {
	t.Helper()
	pg := symbolontest.SharedPostgres(t)
	made.mu.Lock()
	defer made.mu.Unlock()
	if !made.postgres {
		exec(t, pg.DSN, "drop database if exists "+original+" with (force)") // of an attempt that failed
		exec(t, pg.DSN, "create database "+original)
		up(t, "pgx", inDatabase(t, pg.DSN, original), sqlstore.Postgres)
		made.postgres = true
	}
	return pg.CopyDatabase(t, original)
}

// SQLite writes a database with Symbolon's tables to path, where no file is yet, and
// returns its DSN.
func SQLite(t testing.TB, path string) (dsn string) {
	t.Helper()
	made.mu.Lock()
	defer made.mu.Unlock()
	if made.sqlite == nil {
		file := filepath.Join(t.TempDir(), "original.db")
		up(t, "sqlite", sqlstore.SQLiteDSN(file), sqlstore.SQLite)
		if _, err := os.Stat(file + "-wal"); err == nil {
			t.Fatal("migrated: the file does not contain the whole database")
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("migrated: %v", err)
		}
		made.sqlite = content
	}
	if err := os.WriteFile(path, made.sqlite, 0o600); err != nil {
		t.Fatalf("migrated: %v", err)
	}
	return sqlstore.SQLiteDSN(path)
}

// up runs the migrations and disconnects, because nobody may be connected to an original.
func up(t testing.TB, driver, dsn string, dialect sqlstore.Dialect) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatalf("migrated: %v", err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatalf("migrated: %v", err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := migrate.Up(ctx, db, dialect); err != nil {
		t.Fatalf("migrated: %v", err)
	}
}

func exec(t testing.TB, dsn, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatalf("migrated: %v", err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("migrated: %s: %v", statement, err)
	}
}

// inDatabase returns the DSN of another database of the same server.
func inDatabase(t testing.TB, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("migrated: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}
