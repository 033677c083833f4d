package sqlstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// testUserRows checks that every row is returned once with its identity, in the order of
// the keys, for every type of key.
func (p *people) testUserRows(t *testing.T) {
	p.empty(t)
	store := p.store(p.DB)
	if got, err := store.UserRows(t.Context(), "default", "", "", 5); err != nil || len(got) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	for n := range 23 {
		id := symbolon.IdentityID("")
		if n%2 == 0 || p.users.Identity == "id" {
			id = symbolon.IdentityID(newUUID())
		}
		user := p.insertUser(t, id)
		if n%4 == 0 && p.emailColumn() != "" {
			p.must(t, p.sql(`update {users} set email = $1 where cast({id} as text) = $2`), fmt.Sprintf("e%s@x", user), string(user))
		}
	}
	p.checkPages(t, store)
}

// emailColumn is empty if the application makes its users itself, because Symbolon's
// stand-in table has no such column.
func (p *people) emailColumn() string {
	if p.users.NewID == sqlstore.ByApplication {
		return ""
	}
	return "email"
}

func (p *people) checkPages(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	want, seen := p.all(t), map[symbolon.UserID]bool{}
	var order []symbolon.UserID
	for after := symbolon.UserID(""); ; {
		page, err := store.UserRows(t.Context(), "default", after, p.emailColumn(), 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if seen[r.ID] || r.Identity != want[r.ID] || r.Linked != "" || r.Retired || r.Email != "" || r.Column != "" && r.Column != "e"+string(r.ID)+"@x" {
				t.Errorf("%+v, want identity %q", r, want[r.ID])
			}
			seen[r.ID] = true
			order = append(order, r.ID)
			one, err := store.UserRow(t.Context(), "default", r.ID, p.emailColumn())
			if err != nil || one != r {
				t.Errorf("as a single row %+v, in the page %+v, %v", one, r, err)
			}
		}
		if len(page) < 5 {
			break
		}
		after = page[len(page)-1].ID
	}
	byKey := func(a, b symbolon.UserID) int {
		n, e1 := a.Int64()
		m, e2 := b.Int64()
		if e1 == nil && e2 == nil {
			return cmp.Compare(n, m)
		}
		return strings.Compare(string(a), string(b))
	}
	if len(seen) != len(want) || !slices.IsSortedFunc(order, byKey) {
		t.Errorf("%d of %d rows: %v", len(seen), len(want), order)
	}
}

// TestUserRowsSayWho checks that a row names its user's identity, and says whether the
// user's ID is retired. Wrong arguments are errors.
func TestUserRowsSayWho(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := &people{database: db, again: db.again(t)}
		store := p.store(p.DB)
		id := symbolon.IdentityID(newUUID())
		bound, retired := p.insertUser(t, id), p.insertUser(t, "")
		_, err := store.Write(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}}},
			func(symbolon.Evidence) (symbolon.Plan, error) {
				return symbolon.Plan{Action: symbolon.Attach, User: bound}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		p.inTx(t, func(tx symbolon.Execer) error { return store.Forget(t.Context(), tx, "default", retired) })
		if r, err := store.UserRow(t.Context(), "default", bound, ""); err != nil || r.Linked != id || r.Retired {
			t.Errorf("%+v %v", r, err)
		}
		if r, err := store.UserRow(t.Context(), "other", bound, ""); err != nil || r.Linked != "" {
			t.Errorf("another project: %+v %v", r, err)
		}
		if r, err := store.UserRow(t.Context(), "default", retired, ""); err != nil || !r.Retired {
			t.Errorf("%+v %v", r, err)
		}
		for _, user := range []symbolon.UserID{"", "nobody", "\x00", symbolon.UserID(newUUID())} {
			if _, err := store.UserRow(t.Context(), "default", user, ""); !errors.Is(err, symbolon.ErrNotFound) {
				t.Errorf("%q: %v", user, err)
			}
		}
		for column, ok := range map[string]bool{"email": true, "nothing": false, `email" from x --`: false, "": true} {
			if err := store.CheckColumn(t.Context(), column); (err == nil) != ok {
				t.Errorf("%q: %v", column, err)
			}
		}
		if _, err := store.UserRows(t.Context(), "", "", "", 5); err == nil {
			t.Error("no project")
		}
		if _, err := store.UserRows(t.Context(), "default", "", "", 0); err == nil {
			t.Error("no limit")
		}
		_ = p.Close()
		if _, err := store.UserRows(t.Context(), "default", "", "", 5); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestVerifiedColumns tests the types of a column that says whether an address is
// verified. Check refuses other types.
func TestVerifiedColumns(t *testing.T) {
	types := map[sqlstore.Dialect]map[string][2]string{
		sqlstore.SQLite:   {"boolean": {"0", "1"}, "integer": {"0", "7"}, "timestamp": {"null", "'2026-01-02 03:04:05'"}, "datetime": {"'0001-01-01 00:00:00'", "'2026-01-02T03:04:05Z'"}},
		sqlstore.Postgres: {"boolean": {"false", "true"}, "integer": {"0", "7"}, "timestamptz": {"null", "now()"}, "date": {"null", "now()"}},
	}
	onBoth(t, func(t *testing.T, db database) {
		n := 0
		for declared, values := range types[db.dialect] {
			n++
			table := fmt.Sprintf("t%d", n)
			p := &people{database: db, variant: variant{users: sqlstore.Users{Table: table, NewID: sqlstore.ByDatabase, Identity: "ory",
				Email: "mail", EmailVerified: "seen"}}}
			key := map[sqlstore.Dialect]string{sqlstore.SQLite: "integer", sqlstore.Postgres: "bigserial"}[db.dialect]
			p.must(t, `create table `+table+` (id `+key+` primary key, ory text unique`+oryWrites+`, mail text, seen `+declared+`)`)
			p.must(t, `insert into `+table+` (mail, seen) values ('Ann@x', null), ('Bob@x', `+values[0]+`), ('Cy@x', `+values[1]+`)`)
			store := p.store(p.DB)
			if err := store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := store.UserRows(t.Context(), "default", "", "", 5)
			if err != nil || len(got) != 3 || got[0].Checked || got[1].Checked || !got[2].Checked || got[2].Email != "Cy@x" {
				t.Errorf("%s: %+v %v", declared, got, err)
			}
			id := symbolon.Identity{ID: symbolon.IdentityID(newUUID())}
			h, err := store.Read(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}, Emails: []string{"cy@x", "ann@x", "no@x"}})
			if err != nil || len(h.Matches) != 2 || h.Matches[0].ID != "3" || !h.Matches[0].Verified || h.Matches[0].Email != "cy@x" || h.Matches[1].Verified {
				t.Errorf("%s: %+v %v", declared, h.Matches, err)
			}
		}
		p := &people{database: db, variant: variant{users: sqlstore.Users{Table: "t1", NewID: sqlstore.ByDatabase, Identity: "ory"}}}
		for _, pair := range [][2]string{{"mail", "mail"}, {"mail", "none"}, {"none", "seen"}, {"seen", "seen"}, {"mail", ""}, {"", "seen"}, {`a"b`, "seen"}} {
			p.users.Email, p.users.EmailVerified = pair[0], pair[1]
			if err := p.store(p.DB).Check(t.Context()); err == nil {
				t.Errorf("Check accepted %v", pair)
			}
		}
	})
}
