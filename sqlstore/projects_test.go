package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestRetiredInAnotherProject has two Ory projects that share a users table. An ID that one
// of them retired is not given to a person of the other, one by one or many at once.
func TestRetiredInAnotherProject(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := &people{database: db}
		key := map[sqlstore.Dialect]string{sqlstore.SQLite: "integer primary key", sqlstore.Postgres: "bigserial primary key"}[db.dialect]
		p.must(t, `create table people (id `+key+`, ory varchar(36) unique`+oryWrites+`, email text)`)
		users := sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email"}}
		var linkers [2]*link.Linker
		for i, project := range []string{"here", "there"} {
			linkers[i] = linkerOf(&sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: users})
			linkers[i].Project = project
		}
		given := map[symbolon.UserID]bool{}
		reading := func() symbolon.Reading {
			id := identityWith(`{"email":"a@b.c"}`)
			id.ID = symbolon.IdentityID(newUUID())
			return symbolon.Reading{Identity: id}
		}
		take := func(user symbolon.UserID, err error) {
			t.Helper()
			if err != nil || given[user] {
				t.Errorf("user %s, given before: %t, %v", user, given[user], err)
			}
			given[user] = true
		}
		for n := range 3 { // the last row is deleted, and its ID is free again for SQLite
			for i, l := range linkers {
				r := reading()
				bond, err := l.Link(t.Context(), r)
				take(bond.User, err)
				if _, err := l.Erase(t.Context(), r.Identity.ID, symbolon.DeleteRow, fmt.Sprint(n, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, l := range linkers {
			for _, result := range l.LinkAll(t.Context(), []symbolon.Reading{reading(), reading()}) {
				take(result.Link.User, result.Err)
			}
		}
		if len(given) != 10 {
			t.Errorf("%d users", len(given))
		}
	})
}
