package sqlstore_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// asUser returns a store that connects as a new database user with all rights on the
// tables, and the name of the user.
func (p *people) asUser(t *testing.T) (*sqlstore.Store, string) {
	t.Helper()
	user := "user_of_" + p.users.Table + "_" + strings.ReplaceAll(newUUID(), "-", "")
	p.must(t, `create role `+user+` login`)
	p.must(t, `grant usage on schema symbolon to `+user)
	p.must(t, `grant all on all tables in schema symbolon, public to `+user)
	p.must(t, `grant all on all sequences in schema symbolon, public to `+user)
	t.Cleanup(func() { p.must(t, `drop owned by `+user); p.must(t, `drop role `+user) })
	dsn, err := url.Parse(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	dsn.User = url.User(user)
	theirs := p.database
	theirs.dsn = dsn.String()
	return p.store(theirs.again(t)), user
}

// TestNoRight takes rights from the database user. Everybody gets "don't know", there is one
// fault of the table, and no person is denied.
func TestNoRight(t *testing.T) {
	for _, tt := range []struct{ name, sql, back string }{
		{"inserting", `revoke insert on {users} from {user}`, `grant insert on {users} to {user}`},
		{"a trigger's table", `create function f() returns trigger language plpgsql as $f$ begin perform 1 from nowhere; return new; end $f$:
			create trigger t before insert on {users} for each row execute function f()`, `drop trigger t on {users}`},
		{"55000", `create function f() returns trigger language plpgsql as $f$ begin raise exception using errcode = '55000'; end $f$:
			create trigger t before insert on {users} for each row execute function f()`, `drop trigger t on {users}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := create(t, open(t, sqlstore.Postgres), "extra text", map[string]string{"extra": "traits.extra"})
			store, user := p.asUser(t)
			var told []string
			store.OnFaults = func(faults []*sqlstore.Fault) {
				for _, f := range faults {
					told = append(told, f.Is)
				}
			}
			l := linkerOf(store)
			for part := range strings.SplitSeq(strings.ReplaceAll(p.sql(tt.sql), "{user}", user), ":") {
				p.must(t, part)
			}
			id := identityWith(`{}`)
			for range 3 {
				if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUnavailable) {
					t.Fatalf("got %v", err)
				}
			}
			wantTableFaults(t, store, "refusing ")
			if len(told) != 1 || !strings.Contains(told[0], p.users.Table) {
				t.Errorf("told: %q", told)
			}
			p.must(t, strings.ReplaceAll(p.sql(tt.back), "{user}", user))
			store.Age()
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
				t.Fatal(err)
			}
			wantTableFaults(t, store)
			wantHistory(t, l, id.ID, "", "user.linked")
		})
	}
}
