package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestTableRefuses has rules of the application that refuse a row. There is no user, the
// reason has no personal data, and every call tries again.
func TestTableRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		t.Run("a trigger", func(t *testing.T) {
			p := create(t, db, "email text", map[string]string{"email": "traits.email"})
			p.trigger(t, "insert", "new.email like '%@blocked.example' or new.email is null")
			l := linkerOf(p.store(p.DB))
			id := identityWith(`{"email":"eve@blocked.example"}`)
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			if !errors.Is(err, symbolon.ErrCannotCreate) || strings.Contains(err.Error(), "eve") {
				t.Fatalf("got %v", err)
			}
			id.Traits = []byte(`{"email":"eve@example.com"}`)
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("a trigger on the identity column", func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.trigger(t, "update", "new.extra = 'frozen'")
			user, id := newUUID(), identityWith(`{}`)
			p.must(t, p.sql(`insert into {users} (id, extra) values ($1, 'frozen')`), user)
			store := p.store(p.DB)
			_, err := linkerOf(store).Bind(t.Context(), id.ID, symbolon.UserID(user), symbolon.BindOptions{})
			if !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Fatalf("got %v", err)
			}
			link, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			_, err = linkerOf(store).Bind(t.Context(), id.ID, symbolon.UserID(user), symbolon.BindOptions{Move: true})
			if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if h, err := store.Read(t.Context(), queryFor(id)); err != nil || *h.Link != link || h.Row == nil {
				t.Fatalf("a failed bind changed the link: %+v %v", h, err)
			}
		})
		t.Run("a foreign key", func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.must(t, p.sql(`create table plans_of_{users} (name text primary key)`))
			p.must(t, p.sql(`alter table {users} add column plan text references plans_of_{users} (name)`))
			p.users.Columns = map[string]string{"plan": "traits.plan", "extra": "traits.extra"}
			l := linkerOf(p.store(p.DB))
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"plan":"gold","extra":"x"}`)})
			if err != nil || p.extra(t, link.User) != "x" {
				t.Fatal(err)
			}
			wantHistory(t, l, link.Identity, "column_refused", "user.linked finding.opened")
		})
	})
	t.Run("a value that is too long for an index, and a trigger's own SQLSTATE", func(t *testing.T) {
		p := create(t, open(t, sqlstore.Postgres), "bio text, active boolean", map[string]string{"bio": "traits.bio", "active": "active"})
		p.must(t, p.sql(`create index on {users} (bio)`))
		p.must(t, `create function own_state() returns trigger language plpgsql as $f$ begin
			if new.bio = 'own' then raise exception using errcode = 'MY001'; end if; return new; end $f$`)
		p.must(t, p.sql(`create trigger own_state before insert or update on {users} for each row execute function own_state()`))
		store := p.store(p.DB)
		l := linkerOf(store)
		var long strings.Builder // does not compress
		for range 200 {
			long.WriteString(newUUID())
		}
		for _, bio := range []string{long.String(), "own"} {
			id := identityWith(`{"bio":"` + bio + `"}`)
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil {
				t.Fatalf("%.10s: %v", bio, err)
			}
			wantHistory(t, l, link.Identity, "column_refused", "user.linked finding.opened")
			ticket, err := store.Ticket(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			id.State = symbolon.Inactive
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: ticket}); err != nil {
				t.Fatal(err)
			}
			var active bool
			if err := p.QueryRow(p.sql(`select active from {users} where id = $1`), string(link.User)).Scan(&active); err != nil || active {
				t.Errorf("%.10s: the row of a banned person is active: %v", bio, err)
			}
		}
	})
	t.Run("a constraint that is checked at the end", func(t *testing.T) {
		p := create(t, open(t, sqlstore.Postgres), "email text unique deferrable initially deferred", map[string]string{"email": "traits.email"})
		l := linkerOf(p.store(p.DB))
		for _, want := range []string{"", "duplicate_email"} {
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"email":"a@example.com"}`)})
			if err != nil {
				t.Fatal(err)
			}
			wantHistory(t, l, link.Identity, want, strings.TrimSpace("user.linked "+map[bool]string{true: "finding.opened"}[want != ""]))
		}
	})
}

// trigger refuses rows for which the condition holds.
func (p *people) trigger(t *testing.T, on, when string) {
	if p.dialect == sqlstore.SQLite {
		p.must(t, p.sql(`create trigger no_{users} before `+on+` on {users} when `+when+` begin select raise(abort, 'no: eve'); end`))
		return
	}
	p.must(t, p.sql(`create function no_{users}() returns trigger language plpgsql as $f$ begin
		if `+when+` then raise exception 'no: %', new.id || ' eve'; end if; return new; end $f$`))
	p.must(t, p.sql(`create trigger no_{users} before `+on+` on {users} for each row execute function no_{users}()`))
}

// TestConstraints checks that the ledger's own tables refuse invalid identities from any
// writer.
func TestConstraints(t *testing.T) {
	bad := []string{"", "00000000-0000-0000-0000-000000000000", "9F425A8D-7EFC-4768-8F23-7647A74FDF13", "{9f425a8d-7efc-4768-8f23-7647a74fdf13}",
		"9f425a8d7efc47688f237647a74fdf13", "9f425a8d-7efc-4768-8f23-7647a74fdf1", "9f425a8d-7efc-4768-8f23-7647a74fdf130", "9f425a8d-7efc-4768-8f23-7647a74fdf1g",
		"urn:uuid:9f425a8d-7efc-4768-8f23-7647a74fdf13", "9f425a8d-7efc-4768-8f23-7647a74fdf13\n", " 9f425a8d-7efc-4768-8f23-7647a74fdf13", "nobody"}
	const good = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
	onBoth(t, func(t *testing.T, db database) {
		p := &people{database: db}
		name := func(text string) string {
			if db.dialect == sqlstore.SQLite {
				return strings.ReplaceAll(text, "symbolon.", "symbolon_")
			}
			return text
		}
		refuse := func(text string, args ...any) {
			t.Helper()
			if _, err := db.Exec(name(text), args...); err == nil {
				t.Errorf("%s took %q", text, args)
			}
		}
		const link = `insert into symbolon.links (project, identity_id, user_id, state, reason, linked_at) values ($1, $2, $3, $4, $5, $6)`
		const at = "2026-01-02T03:04:05.000006Z"
		for _, id := range append(bad, good+"\x00", "9f425a8d-7efc-4768-8f23-7647a74fdf1\x00") {
			refuse(link, "default", id, "u", "linked", "", at)
			refuse(`insert into symbolon.findings (project, identity_id, kind, opened_at) values ('default', $1, 'moved', $2)`, id, at)
			refuse(`insert into symbolon.events (project, identity_id, kind, at) values ('default', $1, 'user.linked', $2)`, id, at)
			if id != "9F425A8D-7EFC-4768-8F23-7647A74FDF13" && !strings.HasPrefix(id, "{") && len(id) != 32 || db.dialect == sqlstore.SQLite {
				refuse(`insert into symbolon_users (id, ory_identity_id) values ($1, $2)`, newUUID(), id)
			}
		}
		refuse(link, "", good, "u", "linked", "", at)
		refuse(link, "default", nil, "u", "linked", "", at)
		refuse(link, "default", good, nil, "linked", "", at)
		refuse(link, "default", good, "", "linked", "", at)
		refuse(link, "default", good, "u", "linked", "", nil)
		refuse(link, "default", good, "u", "loose", "", at)
		refuse(link, "default", good, nil, "held", "", at)
		refuse(`insert into symbolon.retired (project, user_id, retired_at) values ('default', '', $1)`, at)
		p.must(t, name(link), "default", good, "u", "linked", "", at)
		refuse(link, "default", good, "v", "linked", "", at)
		refuse(link, "default", "9f425a8d-7efc-4768-8f23-7647a74fdf14", "u", "linked", "", at)
		p.must(t, name(link), "default", "9f425a8d-7efc-4768-8f23-7647a74fdf14", "u", "held", "moved", nil)
		p.must(t, name(link), "other", good, "u", "linked", "", at)
		const finding = `insert into symbolon.findings (project, identity_id, kind, opened_at, closed_at) values ('default', $1, 'moved', $2, $3)`
		p.must(t, name(finding), good, at, at)
		p.must(t, name(finding), good, at, nil)
		refuse(finding, good, at, nil)
	})
}
