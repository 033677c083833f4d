package sqlstore

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

// TestYes checks that only a sure yes counts as verified.
func TestYes(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "True": true, "t": true, "1": true, "2": true, "1764500000": true,
		"2026-11-30": true, "2026-11-30 16:00:00.5+00": true, "2026-11-30T16:00:00Z": true,
		"": false, "0": false, "00": false, "false": false, "False": false, "f": false, "F": false, "no": false, "yes": false, "n": false, "off": false,
		"null": false, "0000-00-00 00:00:00": false, "0001-01-01T00:00:00": false, "infinity": false, "-infinity": false, "16:00": false, " ": false,
	} {
		if got := yes(sql.NullString{String: text, Valid: true}); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if yes(sql.NullString{}) {
		t.Error("null")
	}
}

// TestChangedType changes the type of a column. No call fails because of that, so the store
// reads the shape again after its lifetime.
func TestChangedType(t *testing.T) {
	db, err := sql.Open("sqlite", SQLiteDSN(filepath.Join(t.TempDir(), "people.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &Store{DB: db, Dialect: SQLite, Users: Users{Table: "people", Identity: "ory", Columns: map[string]string{"active": "active"}}}
	kindOf := func() kind {
		t.Helper()
		shape, err := s.table(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return shape.columns[0].kind
	}
	for _, declared := range []string{"boolean", "text"} {
		for _, query := range []string{`drop table if exists people`, `create table people (id text primary key not null, ory text unique, active ` + declared + `)`} {
			if _, err := db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		if got := kindOf(); got != boolean {
			t.Errorf("%s: %v", declared, got)
		}
	}
	s.state.mu.Lock()
	s.state.at = time.Now().Add(-2 * lifetime)
	s.state.mu.Unlock()
	if got := kindOf(); got != text {
		t.Errorf("after the lifetime: %v", got)
	}
}
