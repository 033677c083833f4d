package sqlstore_test

import (
	"encoding/json"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestBanIsWrittenAlone bans people while their other columns cannot be written. The ban
// reaches the row, and the next reading writes the rest as soon as that is possible.
func TestBanIsWrittenAlone(t *testing.T) {
	fault := map[sqlstore.Dialect]string{
		sqlstore.SQLite: `create trigger t before update of name on {users} begin insert into nowhere values (1); end`,
		sqlstore.Postgres: `create function f() returns trigger language plpgsql as $f$ begin perform 1 from nowhere; return new; end $f$;
			create trigger t before update of name on {users} for each row execute function f()`,
	}
	back := map[sqlstore.Dialect]string{sqlstore.SQLite: `drop trigger t`, sqlstore.Postgres: `drop trigger t on {users}`}
	onBoth(t, func(t *testing.T, db database) {
		p := fill(t, db)
		store := p.store(p.DB)
		l := linkerOf(store)
		id := identityWith(`{"email":"a@b.c","name":"Ann"}`)
		link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		p.must(t, p.sql(fault[p.dialect]))
		id.State, id.Traits = symbolon.Inactive, json.RawMessage(`{"email":"a@b.c","name":"Bea"}`)
		for range 2 {
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: next(t, store)}); err != nil {
				t.Fatal(err)
			}
			if got := p.row(t, link.User); got != "Ann inactive" {
				t.Fatalf("row: %s", got)
			}
		}
		wantTableFaults(t, store, "refusing ")
		wantStale(t, store, id, true)
		wantHistory(t, l, id.ID, "", "user.linked user.updated")

		p.must(t, p.sql(back[p.dialect]))
		store.Age()
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: next(t, store)}); err != nil {
			t.Fatal(err)
		}
		if got := p.row(t, link.User); got != "Bea inactive" {
			t.Fatalf("row: %s", got)
		}
		wantTableFaults(t, store)
		wantStale(t, store, id, false)
	})
}

// TestRefusedAtTheCommit has a constraint that SQLite checks only at the commit. A ban is
// written without the refused column, and a new person gets a user without it.
func TestRefusedAtTheCommit(t *testing.T) {
	db := open(t, sqlstore.SQLite)
	p := create(t, db, "plan text references plans (name) deferrable initially deferred, active boolean", map[string]string{"plan": "traits.plan", "active": "active"})
	p.must(t, `create table plans (name text primary key)`)
	p.must(t, `insert into plans (name) values ('free')`)
	store := p.store(p.DB)
	l := linkerOf(store)
	row := func(user symbolon.UserID) string {
		return p.text(t, `coalesce(plan, '-') || ' ' || active`, user)
	}
	id := identityWith(`{"plan":"free"}`)
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	id.State, id.Traits = symbolon.Inactive, json.RawMessage(`{"plan":"gold"}`)
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: next(t, store)}); err != nil {
		t.Fatalf("a ban: %v", err)
	}
	if got := row(link.User); got != "free 0" {
		t.Errorf("row: %s", got)
	}
	wantHistory(t, l, id.ID, "column_refused", "user.linked user.updated finding.opened")

	other := identityWith(`{"plan":"gold"}`)
	made, err := l.Link(t.Context(), symbolon.Reading{Identity: other})
	if err != nil {
		t.Fatalf("a new person: %v", err)
	}
	if got := row(made.User); got != "- 1" {
		t.Errorf("row: %s", got)
	}
	wantHistory(t, l, other.ID, "column_refused", "user.linked finding.opened")

	p.must(t, `insert into plans (name) values ('gold')`)
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: next(t, store)}); err != nil {
		t.Fatal(err)
	}
	if got := row(link.User); got != "gold 0" {
		t.Errorf("row: %s", got)
	}
	wantHistory(t, l, id.ID, "", "user.linked user.updated finding.opened user.updated finding.closed")
}
