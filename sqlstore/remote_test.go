package sqlstore_test

import (
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestRemoteUsersStandAlone checks that the other fields must be empty if the application
// makes its users itself.
func TestRemoteUsersStandAlone(t *testing.T) {
	db := open(t, sqlstore.SQLite)
	for name, u := range map[string]sqlstore.Users{
		"a table":    {Table: "people"},
		"a key":      {ID: "uid"},
		"a column":   {Identity: "ory"},
		"a column's": {Columns: map[string]string{"email": "traits.email"}},
	} {
		u.NewID = sqlstore.ByApplication
		s := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: u}
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "create_url") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRemoteUsersAfterATable changes to create_url with people in the ledger. Check
// reports it before all of them lose their users, and the statement of docs/create-url.md
// repairs it.
func TestRemoteUsersAfterATable(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		before := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		id := linkSome(t, before, 1)[0]
		after := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
		statement, remote := documented(t), "symbolon.remote_users"
		if db.dialect == sqlstore.SQLite {
			statement, remote = strings.ReplaceAll(statement, "symbolon.", "symbolon_"), "symbolon_remote_users"
		}
		if err := after.Check(t.Context()); err == nil || !strings.Contains(err.Error(), remote) {
			t.Fatalf("Check: %v", err)
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := after.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := after.Record(t.Context(), "default", string(id)); err != nil || r.Row == nil || r.Link == nil {
			t.Errorf("the person has no user: %+v, %v", r, err)
		}
	})
}

// documented returns the statement of docs/create-url.md.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/create-url.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```sql\n")
	statement, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/create-url.md has no statement")
	}
	return statement
}
