package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestRowLevelSecurity checks that Check refuses policies that may hide rows, and accepts
// those that show every row.
func TestRowLevelSecurity(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for _, tt := range []struct {
		name, sql string // {user} is the database user
		fault     bool
	}{
		{"not active", `create policy p on {users} using (extra = 'mine')`, false},
		{"no policy", `alter table {users} enable row level security`, true},
		{"a policy that shows some rows", `alter table {users} enable row level security; create policy p on {users} using (extra = 'mine')`, true},
		{"true for everybody", `alter table {users} enable row level security; create policy p on {users} using (true)`, false},
		{"true for the user", `alter table {users} enable row level security; create policy p on {users} to {user} using (true)`, false},
		{"true for another user", `alter table {users} enable row level security; create policy p on {users} to postgres using (true)`, true},
		{"true for reading only", `alter table {users} enable row level security; create policy p on {users} for select using (true)`, true},
		{"true for reading and for updating", `alter table {users} enable row level security; create policy p on {users} for select using (true);
			create policy q on {users} for update using (true); create policy r on {users} for insert with check (true)`, false},
		{"true for inserting only", `alter table {users} enable row level security; create policy p on {users} for insert with check (true)`, true},
		{"true, and a restrictive policy", `alter table {users} enable row level security; create policy p on {users} using (true);
			create policy q on {users} as restrictive using (extra = 'mine')`, true},
		{"true, and a restrictive policy for another user", `alter table {users} enable row level security; create policy p on {users} using (true);
			create policy q on {users} as restrictive to postgres using (extra = 'mine')`, false},
		{"bypassrls", `alter table {users} enable row level security; alter role {user} bypassrls`, false},
		{"Symbolon's own table", `alter table symbolon.retired enable row level security`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			store, user := p.asUser(t)
			t.Cleanup(func() { p.must(t, `alter table symbolon.retired disable row level security`) })
			for part := range strings.SplitSeq(strings.ReplaceAll(p.sql(tt.sql), "{user}", user), ";") {
				p.must(t, part)
			}
			var want []string
			if tt.fault {
				want = []string{"row level security may hide rows"}
			}
			wantFaults(t, store.Check(t.Context()), want)
		})
	}
}

// TestHiddenRow activates row level security while the store runs. A person whose row is
// hidden is not denied as if the user were deleted, and gets no second user.
func TestHiddenRow(t *testing.T) {
	p := create(t, open(t, sqlstore.Postgres), "extra text", nil)
	store, _ := p.asUser(t)
	l := linkerOf(store)
	known, strange := identityWith(`{}`), identityWith(`{}`)
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: known})
	if err != nil {
		t.Fatal(err)
	}
	p.insertUser(t, strange.ID)
	p.must(t, p.sql(`update {users} set extra = 'hidden'`))
	p.must(t, p.sql(`alter table {users} enable row level security`))
	p.must(t, p.sql(`create policy p on {users} using (extra is distinct from 'hidden')`))
	for _, id := range []symbolon.Identity{known, strange} {
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if r, err := p.store(p.DB).Record(t.Context(), "default", string(id.ID)); err != nil || len(r.Findings) > 0 {
			t.Errorf("%+v %v", r, err)
		}
	}
	wantTableFaults(t, store, "hiding ")
	p.must(t, p.sql(`alter table {users} disable row level security`))
	if again, err := l.Link(t.Context(), symbolon.Reading{Identity: known}); err != nil || again.User != link.User {
		t.Errorf("%+v %v", again, err)
	}
	p.must(t, p.sql(`delete from {users} where id = $1`), string(link.User))
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: known}); !errors.Is(err, symbolon.ErrUserGone) {
		t.Errorf("a row that is really missing: %v", err)
	}
}

// TestHiddenAddress hides a row while the store runs. It may have the address of a newcomer
// too, so the store does not know whether exactly one user has it.
func TestHiddenAddress(t *testing.T) {
	p := create(t, open(t, sqlstore.Postgres), "mail text, seen boolean", nil)
	p.users.Email, p.users.EmailVerified = "mail", "seen"
	store, _ := p.asUser(t)
	p.insertUser(t, "")
	p.must(t, p.sql(`update {users} set mail = 'ada@example.org', seen = true`))
	matches := func() (int, error) {
		held, err := store.Read(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: identityWith(`{}`)}, Emails: []string{"ada@example.org"}})
		return len(held.Matches), err
	}
	if n, err := matches(); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	p.must(t, p.sql(`alter table {users} enable row level security`))
	p.must(t, p.sql(`create policy p on {users} using (mail is null)`))
	if _, err := matches(); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Errorf("hidden: %v", err)
	}
	p.must(t, p.sql(`alter table {users} disable row level security`))
	if n, err := matches(); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}
