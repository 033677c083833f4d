package migrated_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// TestCopies checks that each copy has the newest tables, and that a copy does not have
// what was written to another.
func TestCopies(t *testing.T) {
	for _, tt := range []struct {
		dialect sqlstore.Dialect
		driver  string
		open    func(*testing.T) string
	}{
		{sqlstore.Postgres, "pgx", func(t *testing.T) string { return migrated.Postgres(t) }},
		{sqlstore.SQLite, "sqlite", func(t *testing.T) string { return migrated.SQLite(t, filepath.Join(t.TempDir(), "copy.db")) }},
	} {
		for range 2 { // the second time the first test is over
			t.Run(string(tt.dialect), func(t *testing.T) {
				for range 2 {
					db, err := sql.Open(tt.driver, tt.open(t))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = db.Close() })
					if have, want, err := migrate.Current(t.Context(), db, tt.dialect); err != nil || have != want {
						t.Fatalf("version %d, want %d: %v", have, want, err)
					}
					if _, err := db.ExecContext(t.Context(), "create table orders (id integer)"); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
