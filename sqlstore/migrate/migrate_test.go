package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// onBoth gives f an empty database and a function that opens pools on it.
func onBoth(t *testing.T, f func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB)) {
	t.Run("sqlite", func(t *testing.T) {
		dsn := sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "a b?#%.db"))
		f(t, sqlstore.SQLite, func() *sql.DB { return open(t, "sqlite", dsn) })
	})
	t.Run("postgres", func(t *testing.T) {
		dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
		f(t, sqlstore.Postgres, func() *sql.DB { return open(t, "pgx", dsn) })
	})
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestUp(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		db := open()
		db.SetMaxOpenConns(1) // one connection is enough
		ctx := t.Context()
		have, want, err := migrate.Current(ctx, db, dialect)
		if err != nil || have != 0 || want == 0 {
			t.Fatalf("before: %d of %d, %v", have, want, err)
		}
		for range 2 {
			if err := migrate.Up(ctx, db, dialect); err != nil {
				t.Fatal(err)
			}
			if have, want, err = migrate.Current(ctx, db, dialect); err != nil || have != want {
				t.Fatalf("after: %d of %d, %v", have, want, err)
			}
		}
		if err := (&sqlstore.Store{DB: db, Dialect: dialect}).Check(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// TestVersions checks that every file sets its own version, and that the files are
// numbered without gaps.
func TestVersions(t *testing.T) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		files, err := fs.Glob(sqlstore.Migrations, string(dialect)+"/*.sql")
		if err != nil || len(files) == 0 {
			t.Fatal(err, files)
		}
		db := map[sqlstore.Dialect]func() *sql.DB{
			sqlstore.SQLite:   func() *sql.DB { return open(t, "sqlite", sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "x.db"))) },
			sqlstore.Postgres: func() *sql.DB { return open(t, "pgx", symbolontest.SharedPostgres(t).NewDatabase(t)) },
		}[dialect]()
		if err := migrate.Up(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
		have, want, err := migrate.Current(t.Context(), db, dialect)
		if err != nil || have != int64(len(files)) || want != have {
			t.Fatalf("%s: %d files, version %d of %d, %v", dialect, len(files), have, want, err)
		}
	}
}

// upTo runs only the first n migrations.
func upTo(t *testing.T, db *sql.DB, dialect sqlstore.Dialect, n int) {
	t.Helper()
	names, err := fs.Glob(sqlstore.Migrations, string(dialect)+"/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, name := range names[:n] {
		text, err := fs.ReadFile(sqlstore.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Base(name)] = &fstest.MapFile{Data: text}
	}
	gooses := goose.DialectSQLite3
	if dialect == sqlstore.Postgres {
		gooses = goose.DialectPostgres
		if _, err := db.Exec(`create schema symbolon`); err != nil {
			t.Fatal(err)
		}
	}
	p, err := goose.NewProvider(gooses, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(table(dialect, "migrations")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// table returns the name of one of Symbolon's tables.
func table(dialect sqlstore.Dialect, name string) string {
	if dialect == sqlstore.SQLite {
		return "symbolon_" + name
	}
	return "symbolon." + name
}

// TestUpFromTheFirst checks that the newest version keeps the data of a ledger of the
// first version.
func TestUpFromTheFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		db := open()
		upTo(t, db, dialect, 1)
		links := table(dialect, "links")
		const id = "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50"
		_, err := db.Exec(`insert into `+links+` (project, identity_id, user_id, state, way, linked_at, ticket, digest, back_reference)
			values ('default', $1, '42', 'linked', 'link', '2026-11-01T10:00:00.000000Z', 7, 'd', '42')`, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := migrate.Up(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
		start, err := (&sqlstore.Store{DB: db, Dialect: dialect}).FindStart(t.Context(), "default")
		if err != nil || start.SettledBy != "bonds" || start.CreatedAt.IsZero() || !start.SettledAt.Equal(start.CreatedAt) {
			t.Errorf("a ledger with bonds: %+v, %v", start, err)
		}
		var line string
		err = db.QueryRow(`select project || identity_id || user_id || state || way || ticket || digest || back_reference from ` + links).Scan(&line)
		if err != nil || line != "default"+id+"42linkedlink7d42" {
			t.Fatalf("%s %v", line, err)
		}
		if _, err := db.Exec(`update ` + links + ` set state = 'gone'`); err != nil {
			t.Error(err)
		}
		if _, err := db.Exec(`update ` + links + ` set state = 'lost'`); err == nil {
			t.Error("an unknown state was stored")
		}
	})
}

func TestUpTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		var wg sync.WaitGroup
		for range 8 {
			db := open()
			wg.Go(func() {
				if err := migrate.Up(t.Context(), db, dialect); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if have, want, err := migrate.Current(t.Context(), open(), dialect); err != nil || have != want {
			t.Fatalf("%d of %d, %v", have, want, err)
		}
	})
}

// TestRepeatedMigration runs each migration of SQLite again after all of them. A program that
// starts at the same moment as a faster one does so. It fails, or it changes no version.
func TestRepeatedMigration(t *testing.T) {
	names, err := fs.Glob(sqlstore.Migrations, "sqlite/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(path.Base(name), func(t *testing.T) {
			db := open(t, "sqlite", sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "s.db")))
			if err := migrate.Up(t.Context(), db, sqlstore.SQLite); err != nil {
				t.Fatal(err)
			}
			text, err := fs.ReadFile(sqlstore.Migrations, name)
			if err != nil {
				t.Fatal(err)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, refused := tx.ExecContext(t.Context(), string(text))
			if refused != nil {
				err = tx.Rollback()
			} else {
				err = tx.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			if have, want, err := migrate.Current(t.Context(), db, sqlstore.SQLite); err != nil || have != want {
				t.Errorf("version %d of %d, %v; the repetition: %v", have, want, err, refused)
			}
		})
	}
}

func TestNewer(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		db := open()
		if err := migrate.Up(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`update ` + table(dialect, "layout") + ` set version = 1000`); err != nil {
			t.Fatal(err)
		}
		if err := migrate.Up(t.Context(), db, dialect); !errors.Is(err, migrate.ErrNewer) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestUpFails(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		db := open()
		if _, err := db.Exec(`create table symbolon_users (mine integer)`); err != nil {
			t.Fatal(err)
		}
		if err := migrate.Up(t.Context(), db, dialect); err == nil {
			t.Fatal("Up did not report a foreign table of the same name")
		}
		if have, _, err := migrate.Current(t.Context(), db, dialect); err != nil || have != 0 {
			t.Fatalf("the failed migration left something: %d, %v", have, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := migrate.Up(ctx, db, dialect); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestUnknownDialect(t *testing.T) {
	if err := migrate.Up(t.Context(), nil, "mysql"); err == nil {
		t.Fatal("mysql?")
	}
}

// beforeTheRule are the last migrations that need not be additive, because no version had
// been published.
var beforeTheRule = map[sqlstore.Dialect]int{sqlstore.SQLite: 6, sqlstore.Postgres: 5}

// additive reports whether the version before can run on tables on which a statement was
// run.
func additive(statement string) bool {
	words := strings.Join(strings.Fields(strings.ToLower(statement)), " ")
	switch {
	case words == "", strings.HasPrefix(words, "create table "), strings.HasPrefix(words, "create index "),
		strings.HasPrefix(words, "update symbolon.layout "), strings.HasPrefix(words, "update symbolon_layout "):
		return true
	case strings.HasPrefix(words, "insert into symbolon.starts "), strings.HasPrefix(words, "insert into symbolon_starts "):
		return true // the version before does not know the table
	case strings.HasPrefix(words, "alter table "):
		return strings.Contains(words, " add column ") && !strings.Contains(words, " unique") && !strings.Contains(words, " primary") &&
			(!strings.Contains(words, " not null") || strings.Contains(words, " default "))
	}
	return false
}

// TestMigrationsAreAdditive: in a rolling restart the version before runs on the tables of a
// new version.
func TestMigrationsAreAdditive(t *testing.T) {
	for statement, want := range map[string]bool{
		"create table symbolon.more (id int not null)": true, "create index i on symbolon.links (state)": true,
		"update symbolon.layout set version = 7": true, "alter table symbolon.links add column a text": true,
		"alter table symbolon.links add column a text not null default ''": true, "alter table symbolon.links add column a text not null": false,
		"alter table symbolon.links drop column state": false, "alter table symbolon.links rename column state to status": false,
		"drop table symbolon.links": false, "create unique index i on symbolon.links (state)": false,
		"update symbolon.links set state = 'bound'": false,
	} {
		if additive(statement) != want {
			t.Errorf("%s: %t", statement, !want)
		}
	}
	for dialect, last := range beforeTheRule {
		files, err := fs.Glob(sqlstore.Migrations, string(dialect)+"/*.sql")
		if err != nil || len(files) < last {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files[last:] {
			text, err := fs.ReadFile(sqlstore.Migrations, file)
			if err != nil {
				t.Fatal(err)
			}
			plain := regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(string(text), "")
			for statement := range strings.SplitSeq(plain, ";") {
				if !additive(statement) {
					t.Errorf("%s: the version before may not run on the tables after: %s", file, statement)
				}
			}
		}
	}
}
