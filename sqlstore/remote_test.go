package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestRemoteUsersStandAlone: where the application makes its users itself, the other
// fields describe nothing.
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

// TestRemoteUsersAfterATable: who changes to create_url with people in the ledger is
// told so before all of them are gone, and the statement of docs/create-url.md mends it.
func TestRemoteUsersAfterATable(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		before := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		id := linkSome(t, before, 1)[0]
		after := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
		remote, links := "symbolon.remote_users", "symbolon.links"
		if db.dialect == sqlstore.SQLite {
			remote, links = "symbolon_remote_users", "symbolon_links"
		}
		if err := after.Check(t.Context()); err == nil || !strings.Contains(err.Error(), remote) {
			t.Fatalf("Check: %v", err)
		}
		if _, err := db.Exec(`insert into ` + remote + ` (id, ory_identity_id) select user_id, identity_id from ` + links + ` where state = 'linked'`); err != nil {
			t.Fatal(err)
		}
		if err := after.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := after.Record(t.Context(), "default", string(id)); err != nil || r.Row == nil || r.Link == nil {
			t.Errorf("the person is not there: %+v, %v", r, err)
		}
	})
}
