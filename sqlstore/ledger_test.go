package sqlstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestEntries reads the ledger page by page, on every kind of users table.
func TestEntries(t *testing.T) {
	for _, v := range variants {
		for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
			t.Run(v.name+"/"+string(dialect), func(t *testing.T) {
				p := openVariant(t, v, dialect)
				store := p.store(p.DB)
				ids := linkSome(t, store, 7)
				var got []symbolon.Entry
				for after := symbolon.IdentityID(""); ; after = got[len(got)-1].Link.Identity {
					page, err := store.Entries(t.Context(), "default", after, "", 3)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, page...); len(page) < 3 {
						break
					}
				}
				if len(got) != len(ids) {
					t.Fatalf("%d entries", len(got))
				}
				for i, e := range got {
					digest, err := store.Digest(t.Context(), person(i))
					if err != nil || e.Link.Identity != ids[i] || e.Link.User == "" || e.Digest != digest || e.LeftOut {
						t.Errorf("%+v %+v, digest %s %v", e.Link, e, digest, err)
					}
					if e.Row == nil || e.User == nil || e.Row.ID != e.Link.User || e.Row.Identity != ids[i] || e.Row.Linked != ids[i] {
						t.Errorf("the row of the entry: %+v %+v", e.Row, e.User)
					}
				}
				stretch, err := store.Entries(t.Context(), "default", ids[1], ids[4], 100)
				if err != nil || len(stretch) != 3 || stretch[0].Link.Identity != ids[2] || stretch[2].Link.Identity != ids[4] {
					t.Errorf("a stretch: %d %v", len(stretch), err)
				}
				if other, err := store.Entries(t.Context(), "another", "", "", 100); err != nil || len(other) != 0 {
					t.Errorf("another project: %d %v", len(other), err)
				}
			})
		}
	}
}

func person(i int) symbolon.Identity {
	return symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("1d00000%x-0000-4000-8000-000000000000", i)), State: symbolon.Active,
		Traits: fmt.Appendf(nil, `{"email":"p%d@example.org"}`, i)}
}

// appOf makes the users of an application that makes its users itself.
type appOf struct{}

func (appOf) Create(_ context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	return symbolon.UserID("user of " + id.ID), nil
}

func linkSome(t *testing.T, store *sqlstore.Store, n int) (ids []symbolon.IdentityID) {
	t.Helper()
	linker := &link.Linker{Ory: noOry, Store: store, Creator: appOf{}, Log: slog.New(slog.DiscardHandler)}
	for i := range n {
		if _, err := linker.Link(t.Context(), symbolon.Reading{Identity: person(i), Source: symbolon.FromRequest}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, person(i).ID)
	}
	return ids
}

// TestEntriesThatDisagree changes rows in the application without Symbolon.
func TestEntriesThatDisagree(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		ids := linkSome(t, store, 4)
		for _, change := range []struct{ text, id string }{
			{`delete from symbolon_users where ory_identity_id = $1`, string(ids[0])},
			{`update symbolon_users set ory_identity_id = null where ory_identity_id = $1`, string(ids[1])},
			{`update symbolon_users set ory_identity_id = null where ory_identity_id = $1`, string(ids[2])},
		} {
			if _, err := db.Exec(change.text, change.id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(`insert into symbolon_users (ory_identity_id) values ($1)`, string(ids[2])); err != nil {
			t.Fatal(err)
		}
		got, err := store.Entries(t.Context(), "default", "", "", 10)
		if err != nil || len(got) != 4 {
			t.Fatalf("%d %v", len(got), err)
		}
		if got[0].User != nil || got[0].Row != nil {
			t.Errorf("deleted: %+v", got[0].Evidence)
		}
		if got[1].User == nil || got[1].User.Identity != "" || got[1].Row != nil {
			t.Errorf("emptied: %+v", got[1].Evidence)
		}
		if got[2].User == nil || got[2].Row == nil || got[2].User.ID == got[2].Row.ID || got[2].Row.Linked != "" {
			t.Errorf("another row: %+v", got[2].Evidence)
		}
		if got[3].User == nil || got[3].User.Linked != ids[3] {
			t.Errorf("in order: %+v", got[3].Evidence)
		}
	})
}
