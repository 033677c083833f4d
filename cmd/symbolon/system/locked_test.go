package system

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// TestNewFileIsLocked opens a new SQLite file while another connection writes to it. The
// journal of the file is then still a rollback journal, and SQLite refuses to change it.
func TestNewFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	application, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = application.Close() }()
	tx, err := application.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "create table orders (id integer primary key)"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = tx.Commit() })
	c := config.Defaults()
	c.Database = config.Hidden("sqlite://" + path)
	db, _, err := openDatabase(t.Context(), c, existing, limits{})
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
}
