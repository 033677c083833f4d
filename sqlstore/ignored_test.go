package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// ignore makes a trigger that ignores writes for which the condition holds.
func (p *people) ignore(t *testing.T, on, when string) {
	t.Helper()
	if p.dialect == sqlstore.SQLite {
		p.must(t, p.sql(`create trigger ignore_{users} before `+on+` on {users} when `+when+` begin select raise(ignore); end`))
		return
	}
	result := map[bool]string{true: "old", false: "new"}[on == "delete"]
	p.must(t, p.sql(`create function ignore_{users}() returns trigger language plpgsql as $f$ begin
		if `+when+` then return null; end if; return `+result+`; end $f$`))
	p.must(t, p.sql(`create trigger ignore_{users} before `+on+` on {users} for each row execute function ignore_{users}()`))
}

// ignored returns the only open finding of an identity, which must name triggers.
func (p *people) ignored(t *testing.T, store *sqlstore.Store, id symbolon.IdentityID) symbolon.FindingKind {
	t.Helper()
	r, err := store.Record(t.Context(), "default", string(id))
	if err != nil || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Detail, "a trigger or a rule") {
		t.Fatalf("%+v %v", r.Findings, err)
	}
	return r.Findings[0].Kind
}

// TestTriggerIgnoresWrites has triggers that suppress a write without an error. That is the
// table's refusal, and not another writer.
func TestTriggerIgnoresWrites(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		t.Run("insert", func(t *testing.T) {
			p := fill(t, db)
			p.ignore(t, "insert", "new.name = 'Eve'")
			store := p.store(p.DB)
			l := linkerOf(store)
			eve := identityWith(`{"name":"Eve"}`)
			bond, err := l.Link(t.Context(), symbolon.Reading{Identity: eve, Admin: true})
			if err != nil || p.row(t, bond.User) != "Eve active" { // the name is written afterwards
				t.Errorf("%+v %v", bond, err)
			}
		})
		t.Run("every insert", func(t *testing.T) {
			p := fill(t, db)
			p.ignore(t, "insert", "new.id is not null")
			store := p.store(p.DB)
			eve := identityWith(`{"name":"Eve"}`)
			if _, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: eve}); !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Error(err)
			}
			if kind := p.ignored(t, store, eve.ID); kind != symbolon.CannotCreate {
				t.Error(kind)
			}
			many := linkerOf(store).LinkAll(t.Context(), []symbolon.Reading{{Identity: identityWith(`{}`)}, {Identity: identityWith(`{}`)}})
			if !errors.Is(many[0].Err, symbolon.ErrCannotCreate) {
				t.Error(many[0].Err)
			}
		})
		t.Run("update", func(t *testing.T) {
			p := fill(t, db)
			p.ignore(t, "update", "new.name = 'Eve'")
			store := p.store(p.DB)
			l := linkerOf(store)
			eve := identityWith(`{"name":"Ann"}`)
			bond, err := l.Link(t.Context(), symbolon.Reading{Identity: eve, Admin: true})
			if err != nil {
				t.Fatal(err)
			}
			eve.Traits, eve.State = []byte(`{"name":"Eve"}`), symbolon.Inactive
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: eve, Ticket: next(t, store)}); err != nil {
				t.Fatal(err)
			}
			if kind := p.ignored(t, store, eve.ID); kind != symbolon.ColumnRefused {
				t.Error(kind)
			}
			if got := p.row(t, bond.User); got != "Ann inactive" {
				t.Error(got)
			}
		})
		t.Run("every update", func(t *testing.T) {
			p := fill(t, db)
			p.ignore(t, "update", "new.id is not null")
			store := p.store(p.DB)
			p.insertUser(t, "")
			var user string
			if err := p.QueryRow(p.sql(`select cast(id as text) from {users}`)).Scan(&user); err != nil {
				t.Fatal(err)
			}
			_, err := linkerOf(store).Bind(t.Context(), identityWith(`{}`).ID, symbolon.UserID(user), symbolon.BindOptions{})
			if err == nil || errors.Is(err, symbolon.ErrUnavailable) || !strings.Contains(err.Error(), "a trigger or a rule") {
				t.Error(err)
			}
			refused, err := store.EraseUser(t.Context(), "default", symbolon.UserID(user), "", symbolon.AnonymiseRow, "asked")
			if err != nil || !strings.Contains(refused, "a trigger or a rule") {
				t.Errorf("%q %v", refused, err)
			}
		})
		t.Run("delete", func(t *testing.T) {
			p := fill(t, db)
			p.ignore(t, "delete", "old.id is not null")
			store := p.store(p.DB)
			l := linkerOf(store)
			l.OnIdentityDeleted, l.Ory, l.ProofGap = symbolon.DeleteRow, controlOnly(t), 1
			eve := identityWith(`{}`)
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: eve, Admin: true}); err != nil {
				t.Fatal(err)
			}
			proofs, err := l.ProveGone(t.Context(), []symbolon.IdentityID{eve.ID}, control)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.EndGone(t.Context(), proofs[0]); err != nil {
				t.Fatal(err)
			}
			if kind := p.ignored(t, store, eve.ID); kind != symbolon.RowKept {
				t.Error(kind)
			}
		})
	})
}
