package sqlstore_test

import (
	"reflect"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestLookOfARequest checks that a request with an existing link gets the same evidence
// by a shorter query as every other source.
func TestLookOfARequest(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		linked, err := linkNew(store, symbolon.UserID(newUUID()))
		if err != nil {
			t.Fatal(err)
		}
		other, err := linkNew(store, symbolon.UserID(newUUID()))
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]symbolon.IdentityID{"linked": linked.Identity, "new": symbolon.IdentityID(newUUID())}
		for name, spoil := range map[string]string{
			"gone":     `delete from symbolon_users where ory_identity_id = $1`,
			"detached": `update symbolon_users set ory_identity_id = null where ory_identity_id = $1`,
		} {
			link, err := linkNew(store, symbolon.UserID(newUUID()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), spoil, string(link.Identity)); err != nil {
				t.Fatal(err)
			}
			ids[name] = link.Identity
		}
		claims := map[string][]symbolon.UserID{"nobody": nil, "the user": {linked.User}, "another": {other.User}, "both": {linked.User, other.User},
			"a stranger": {symbolon.UserID(newUUID())}, "an invalid ID": {"ada"}, "three empty claims": {"", "", ""},
			"the user and empty claims": {"", linked.User, ""}}
		for who, id := range ids {
			for whom, claim := range claims {
				q := queryFor(symbolon.Identity{ID: id}, claim...)
				want, err := store.Read(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				q.Reading.Source = symbolon.FromRequest
				if got, err := store.Read(t.Context(), q); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s, claiming %s: %+v, %v; want %+v", who, whom, got, err, want)
				}
			}
		}
	})
}

// TestLookOfARequestIsShort checks that for an existing link only the ledger entry and
// the row are read. This database has nothing else.
func TestLookOfARequestIsShort(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		linked, err := linkNew(store, symbolon.UserID(newUUID()))
		if err != nil {
			t.Fatal(err)
		}
		retired := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_retired", sqlstore.Postgres: "symbolon.retired"}
		if _, err := db.ExecContext(t.Context(), `drop table `+retired[db.dialect]); err != nil {
			t.Fatal(err)
		}
		for _, claims := range [][]symbolon.UserID{nil, {"", "", ""}, {linked.User}, {"", linked.User, ""}} {
			q := queryFor(symbolon.Identity{ID: linked.Identity}, claims...)
			q.Reading.Source = symbolon.FromRequest
			if held, err := store.Read(t.Context(), q); err != nil || held.Link.User != linked.User {
				t.Errorf("claiming %q: %v", claims, err)
			}
			q.Claims = append(q.Claims, symbolon.UserID(newUUID()))
			if _, err := store.Read(t.Context(), q); err == nil {
				t.Errorf("claiming %q: the owner of the last claim was not read", q.Claims)
			}
		}
	})
}
