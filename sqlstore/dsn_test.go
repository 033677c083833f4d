package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

func TestSQLiteDSN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20&é.db")
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(path, "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1"} {
		// Every connection of the pool has these settings.
		conn, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var got string
		if err := conn.QueryRowContext(t.Context(), `pragma `+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %s, want %s (%v)", pragma, got, want, err)
		}
	}
	var file string
	if err := db.QueryRow(`select file from pragma_database_list`).Scan(&file); err != nil || filepath.Base(file) != filepath.Base(path) {
		t.Errorf("file %q, %v", file, err)
	}
}
