package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// denying is a table whose users are denied by these conditions.
func denying(t *testing.T, db database, extra string, deny map[string]string) *people {
	t.Helper()
	p := create(t, db, extra, nil)
	p.users.Deny = deny
	return p
}

// code is the code with which a person is denied; "-" if the person has the user, and
// "unknown" if nothing is known.
func code(t *testing.T, l *link.Linker, id symbolon.Identity, user symbolon.UserID) string {
	t.Helper()
	bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	again, errAgain := l.Lookup(t.Context(), id.ID)
	if (err == nil) != (errAgain == nil) || bond != again {
		t.Errorf("Link: %+v %v, Lookup: %+v %v", bond, err, again, errAgain)
	}
	var deny *symbolon.DenyError
	switch {
	case err == nil && bond.User == user:
		return "-"
	case errors.Is(err, symbolon.ErrUnavailable):
		return "unknown"
	case errors.Is(err, symbolon.ErrDenied) && errors.As(err, &deny):
		return deny.Code
	}
	t.Fatalf("%+v %v", bond, err)
	return ""
}

// TestDeny sets and clears the columns of a row. The person is denied with the code of the
// first condition that the row meets, keeps the bond, and gets no finding and no second user.
func TestDeny(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := denying(t, db, "deleted_at timestamp, suspended boolean, status text, level integer", map[string]string{"user_gone": "deleted_at is not null",
			"user_suspended": "suspended", "user_strange": "status not in ('new', 'it''s') or level = 7 and not suspended"})
		store := p.store(p.DB)
		if err := store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := linkerOf(store)
		l.OnUserDeleted = link.RecreateDeleted
		id := identityWith(`{}`)
		bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ set, want string }{
			{"level = 3", "-"},
			{"suspended = true", "user_suspended"},
			{"deleted_at = '2026-01-02 03:04:05'", "user_gone"},
			{"deleted_at = null", "user_suspended"},
			{"suspended = false", "-"},
			{"status = 'it''s'", "-"},
			{"status = 'x'", "user_strange"},
			{"status = null", "-"},
			{"level = 7", "user_strange"},
			{"suspended = null", "-"},
		} {
			p.must(t, p.sql(`update {users} set `+step.set))
			if got := code(t, l, id, bond.User); got != step.want {
				t.Errorf("%s: %s, want %s", step.set, got, step.want)
			}
		}
		p.must(t, p.sql(`update {users} set suspended = true`))
		if n := p.count(t, p.sql(`select count(*) from {users}`)); n != 1 {
			t.Errorf("%d rows", n)
		}
		wantHistory(t, l, id.ID, "", "user.linked")
		if r, err := l.Record(t.Context(), string(id.ID)); err != nil || r.Row.Denied != "user_suspended" || r.Link.State != symbolon.Linked {
			t.Errorf("%+v %v", r, err)
		}
		if r, err := l.Record(t.Context(), string(bond.User)); err != nil || r.Row.Denied != "user_suspended" {
			t.Errorf("%+v %v", r, err)
		}
		p.must(t, p.sql(`delete from {users}`))
		if now, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil || now.User == bond.User {
			t.Errorf("a row that is really missing: %+v %v", now, err)
		}
	})
}

// TestDeniedRowIsWritten checks that a denied user's columns follow Ory, a ban above all.
func TestDeniedRowIsWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := fill(t, db)
		p.must(t, p.sql(`alter table {users} add column suspended boolean`))
		p.users.Deny = map[string]string{"user_suspended": "suspended"}
		store := p.store(p.DB)
		l := linkerOf(store)
		id := identityWith(`{"email":"a@b.c","name":"Ann"}`)
		bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		p.must(t, p.sql(`update {users} set suspended = true`))
		id.State = symbolon.Inactive
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: next(t, store)}); !errors.Is(err, symbolon.ErrDenied) {
			t.Errorf("got %v", err)
		}
		if got := p.row(t, bond.User); got != "Ann inactive" {
			t.Errorf("row: %s", got)
		}
	})
}

// TestDeniedFromTheStart makes a row that meets a condition by its default. Its person is
// denied at once, not at the second request.
func TestDeniedFromTheStart(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := denying(t, db, "approved boolean not null default false", map[string]string{"not_approved": "not approved"})
		l, id := linkerOf(p.store(p.DB)), identityWith(`{}`)
		_, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
		if !errors.Is(err, symbolon.ErrDenied) || p.count(t, p.sql(`select count(*) from {users} where ory is not null`)) != 1 {
			t.Errorf("got %v", err)
		}
		claimed := identityWith(`{}`)
		p.insertUser(t, claimed.ID)
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: claimed, Source: symbolon.FromRequest}); !errors.Is(err, symbolon.ErrDenied) {
			t.Errorf("a row that the application made: %v", err)
		}
	})
}

// TestDenyColumnGoes alters the column of a condition while the store runs. Everybody gets
// "don't know", and nobody is let in, until the column is back.
func TestDenyColumnGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range []struct {
			name, away, back, fault string
			only                    sqlstore.Dialect
		}{
			{"renamed", `alter table {users} rename column suspended to other`, `alter table {users} rename column other to suspended`, "no_column suspended", ""},
			{"dropped", `alter table {users} drop column suspended`, `alter table {users} add column suspended boolean`, "no_column suspended", ""},
			{"a text", `alter table {users} alter column suspended type text`, `alter table {users} alter column suspended type boolean using suspended = 'true'`,
				"wrong_type suspended", sqlstore.Postgres},
			{"a number", `alter table {users} alter column suspended type integer using cast(suspended as integer)`,
				`alter table {users} alter column suspended type boolean using suspended <> 0`, "wrong_type suspended", sqlstore.Postgres},
		} {
			if tt.only != "" && tt.only != db.dialect {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				p := denying(t, db, "suspended boolean", map[string]string{"user_suspended": "suspended"})
				store := p.store(p.DB)
				l, id := linkerOf(store), identityWith(`{}`)
				bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
				if err != nil {
					t.Fatal(err)
				}
				p.alter(t, tt.away)
				for range 3 {
					if got := code(t, l, id, bond.User); got != "unknown" {
						t.Fatalf("got %s", got)
					}
					if _, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); !errors.Is(err, symbolon.ErrUnavailable) {
						t.Fatalf("a new person: %v", err)
					}
				}
				wantTableFaults(t, store, tt.fault)
				err = p.store(p.DB).Check(t.Context())
				if err == nil || errors.Is(err, symbolon.ErrUnavailable) || !strings.Contains(err.Error(), "users.deny.user_suspended") {
					t.Errorf("a restart: %v", err)
				}
				p.alter(t, tt.back)
				store.Age()
				if got := code(t, l, id, bond.User); got != "-" {
					t.Errorf("after the return: %s", got)
				}
				wantTableFaults(t, store)
				p.must(t, p.sql(`update {users} set suspended = true`))
				if got := code(t, l, id, bond.User); got != "user_suspended" {
					t.Errorf("after the return: %s", got)
				}
			})
		}
	})
}

// TestDenyUnreadable makes the column of a condition unreadable on Postgres: by a right, and
// by a policy that hides the row. A value that an enum has lost is noticed by new connections;
// the others still mean the value by its old name.
func TestDenyUnreadable(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for _, tt := range []struct{ name, away, back, check string }{
		{"no right", `revoke select on {users} from {user}; grant select (id, ory) on {users} to {user}`, `grant select on {users} to {user}`, "may not read"},
		{"no such value", `alter type {users}_status rename value 'banned' to 'barred'`, `alter type {users}_status rename value 'barred' to 'banned'`, "cannot judge the condition users.deny.user_banned, status = 'banned': "},
		{"hidden", `alter table {users} enable row level security; create policy p on {users} using (status <> 'fine')`, `alter table {users} disable row level security`, "may hide rows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := fmt.Sprintf("people%d", tables.Load()+1)
			if _, err := db.Exec(`create type ` + table + `_status as enum ('fine', 'banned')`); err != nil {
				t.Fatal(err)
			}
			d := denying(t, db, "status "+table+"_status not null default 'fine'", map[string]string{"user_banned": "status = 'banned'"})
			store, user := d.asUser(t)
			if err := store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			alter := func(text string) {
				for part := range strings.SplitSeq(strings.ReplaceAll(d.sql(text), "{user}", user), "; ") {
					d.must(t, part)
				}
			}
			l, id := linkerOf(store), identityWith(`{}`)
			bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			alter(tt.away)
			if tt.name == "no such value" {
				store = d.store(d.database.again(t))
				l = linkerOf(store)
			}
			if got := code(t, l, id, bond.User); got != "unknown" {
				t.Errorf("got %s", got)
			}
			if err := store.Check(t.Context()); err == nil || errors.Is(err, symbolon.ErrUnavailable) || !strings.Contains(err.Error(), tt.check) {
				t.Errorf("a restart: %v", err)
			}
			if r, err := d.store(d.DB).Record(t.Context(), "default", string(id.ID)); tt.name == "hidden" && (err != nil || len(r.Findings) > 0) {
				t.Errorf("%+v %v", r, err)
			}
			alter(tt.back)
			store.Age()
			if got := code(t, l, id, bond.User); got != "-" {
				t.Errorf("after the return: %s", got)
			}
			d.must(t, d.sql(`update {users} set status = 'banned'`))
			if got := code(t, l, id, bond.User); got != "user_banned" {
				t.Errorf("after the return: %s", got)
			}
		})
	}
}

// TestDenyOddValues has values of another type than their columns, which SQLite stores. The
// database would read the text 'true' as false.
func TestDenyOddValues(t *testing.T) {
	p := denying(t, open(t, sqlstore.SQLite), "suspended boolean, status text, level integer",
		map[string]string{"a": "suspended", "b": "status = 'x'", "c": "level <> 1"})
	l, id := linkerOf(p.store(p.DB)), identityWith(`{}`)
	bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ set, want string }{
		{"suspended = 'true'", "unknown"}, {"suspended = x'01'", "unknown"}, {"suspended = 0.5", "unknown"}, {"suspended = 2", "a"}, {"suspended = 0", "-"},
		{"status = x'78'", "unknown"}, {"status = 'x'", "b"}, {"status = null", "-"},
		{"level = 'one'", "unknown"}, {"level = 1", "-"}, {"level = 1.5", "c"},
	} {
		p.must(t, p.sql(`update {users} set `+tt.set))
		if got := code(t, l, id, bond.User); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.set, got, tt.want)
		}
		column, _, _ := strings.Cut(tt.set, " ")
		for _, of := range []string{string(id.ID), string(bond.User)} { // an operator can look at the person all the same
			r, err := l.Record(t.Context(), of)
			if err != nil || r.Row == nil || (r.Row.Unjudged == column) != (tt.want == "unknown") || strings.Trim(tt.want, "-unkow") != r.Row.Denied {
				t.Errorf("%s: the record of %s: %+v %v", tt.set, of, r.Row, err)
			}
		}
	}
}

// TestDenyCheck checks what is said about conditions before anybody signs in.
func TestDenyCheck(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range []struct{ code, condition, want string }{
			{"x", "deleted is not null", "has no column deleted, which the condition users.deny.x reads"},
			{"x", "Gone is not null", "has no column Gone"},
			{"x", "note", "docs"},
			{"x", "gone", ""},
			{"x", "gone is not true and gone is not null", ""},
			{"x", "note = 1", "does not fit the condition users.deny.x: compare it with a value of its type"},
			{"x", "n = 'one'", "does not fit"},
			{"x", "gone = 'true'", "does not fit"},
			{"x", "doc = '{}'", "does not fit"},
			{"x", "doc is null and at is null", ""},
			{"x", "at", "make it a boolean"},
			{"x", "n = 1 and note in ('a', 'b')", ""},
			{"x", "note = 1 =", "at character 10"},
			{"link_on_hold", "gone", "has another meaning already"},
			{"X", "gone", "lower-case letters"},
		} {
			p := denying(t, db, "gone boolean, note text, n integer, doc json, at timestamp", map[string]string{tt.code: tt.condition})
			err := p.store(p.DB).Check(t.Context())
			want := strings.Replace(tt.want, "docs", "make it a boolean", 1)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q: %v, want %q", tt.code, tt.condition, err, want)
			}
		}
		u := sqlstore.Users{NewID: sqlstore.ByApplication, Deny: map[string]string{"x": "gone"}}
		if err := (&sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: u}).Check(t.Context()); err == nil {
			t.Error("conditions on the rows of an application that makes its users itself")
		}
	})
}

// TestForgetUser checks that a user is forgotten without a transaction of the application.
func TestForgetUser(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "extra text", nil)
		store := p.store(p.DB)
		l, id := linkerOf(store), identityWith(`{}`)
		bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := store.ForgetUser(t.Context(), "default", bond.User); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUserGone) {
				t.Errorf("got %v", err)
			}
		}
		wantHistory(t, l, id.ID, "", "user.linked user.forgotten")
	})
}
