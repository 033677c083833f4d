package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// alterations make a filled column unwritable, and writable again.
var alterations = []struct{ name, kind, away, back string }{
	{"dropped", "no_column", `alter table {users} drop column email`, `alter table {users} add column email text`},
	{"renamed", "no_column", `alter table {users} rename column email to mail`, `alter table {users} rename column mail to email`},
	{"generated", "refusing", `alter table {users} drop column email; alter table {users} add column email text generated always as ('x') {stored}`,
		`alter table {users} drop column email; alter table {users} add column email text`},
}

func (p *people) alter(t *testing.T, text string) {
	t.Helper()
	stored := map[sqlstore.Dialect]string{sqlstore.SQLite: "virtual", sqlstore.Postgres: "stored"}[p.dialect]
	for part := range strings.SplitSeq(strings.ReplaceAll(p.sql(text), "{stored}", stored), "; ") {
		p.must(t, part)
	}
}

// fill is a table with three filled columns.
func fill(t *testing.T, db database) *people {
	t.Helper()
	return create(t, db, "email text, name text, active boolean", map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"})
}

// row is the row of a user without the e-mail address.
func (p *people) row(t *testing.T, user symbolon.UserID) string {
	t.Helper()
	return p.text(t, `coalesce(name, '-') || ' ' || case when active then 'active' else 'inactive' end`, user)
}

func (p *people) text(t *testing.T, expression string, user symbolon.UserID) (s string) {
	t.Helper()
	if err := p.QueryRow(p.sql(`select `+expression+` from {users} where cast(id as text) = $1`), string(user)).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func wantTableFaults(t *testing.T, store *sqlstore.Store, want ...string) {
	t.Helper()
	var got []string
	for _, f := range store.TableFaults() {
		got = append(got, string(f.Kind)+" "+f.Column)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("faults of the table: got %q, want %q", got, want)
	}
}

func next(t *testing.T, store *sqlstore.Store) symbolon.Ticket {
	t.Helper()
	ticket, err := store.Ticket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// TestFilledColumnGoes alters a filled column while the store runs. It is left out, the
// other columns are written, there is one fault of the table and no finding of a person.
// When the column is back, it is filled again.
func TestFilledColumnGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range alterations {
			t.Run(tt.name, func(t *testing.T) {
				p := fill(t, db)
				store := p.store(p.DB)
				calls := 0
				store.OnFaults = func([]*sqlstore.Fault) { calls++ }
				l := linkerOf(store)
				before, after := identityWith(`{"email":"a@b.c","name":"Ann"}`), identityWith(`{"email":"b@b.c","name":"Ben"}`)
				ann, err := l.Link(t.Context(), symbolon.Reading{Identity: before})
				if err != nil {
					t.Fatal(err)
				}
				p.alter(t, tt.away)

				var wg sync.WaitGroup
				crowd := make([]symbolon.Identity, 8)
				for i := range crowd {
					crowd[i] = identityWith(`{"email":"c@b.c","name":"Cy"}`)
					wg.Go(func() {
						if _, err := l.Link(context.Background(), symbolon.Reading{Identity: crowd[i]}); err != nil {
							t.Errorf("new people: %v", err)
						}
					})
				}
				wg.Wait()
				before.State = symbolon.Inactive
				if _, err := l.Link(t.Context(), symbolon.Reading{Identity: before, Ticket: next(t, store)}); err != nil {
					t.Fatalf("a ban: %v", err)
				}
				if got := p.row(t, ann.User); got != "Ann inactive" {
					t.Errorf("the row of a banned person: %s", got)
				}
				many := l.LinkAll(t.Context(), []symbolon.Reading{{Identity: after, Ticket: next(t, store)}, {Identity: identityWith(`{"name":"Dee"}`), Ticket: next(t, store)}})
				for _, m := range many {
					if m.Err != nil {
						t.Fatalf("many at once: %v", m.Err)
					}
				}
				ben := many[0].Link
				wantHistory(t, l, after.ID, "", "user.linked")
				wantTableFaults(t, store, tt.kind+" email")
				if calls != 1 {
					t.Errorf("OnFaults was called %d times", calls)
				}
				wantFaults(t, p.store(p.DB).Check(t.Context()), nil) // a restart
				wantStale(t, store, after, false)

				p.alter(t, tt.back)
				store.Age()
				wantStale(t, store, after, true)
				wantTableFaults(t, store)
				if calls != 2 {
					t.Errorf("OnFaults was called %d times", calls)
				}
				if _, err := l.Link(t.Context(), symbolon.Reading{Identity: after, Ticket: next(t, store)}); err != nil {
					t.Fatal(err)
				}
				if got := p.text(t, "coalesce(email, '-')", ben.User); got != "b@b.c" {
					t.Errorf("the column is not filled after its return: %s", got)
				}
				wantStale(t, store, after, false)
			})
		}
	})
}

// wantStale checks whether reconcile would write the columns of an identity.
func wantStale(t *testing.T, store *sqlstore.Store, id symbolon.Identity, want bool) {
	t.Helper()
	digest, err := store.Digest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	page, err := store.Entries(t.Context(), "default", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		if e.Link.Identity == id.ID && (e.Digest != digest) != want {
			t.Errorf("stale: got %v, want %v", !want, want)
		}
	}
}

// TestDecidingColumnGoes renames columns that decide which user a person has. Everybody
// gets "don't know", and nobody a second user or a denial, until the column is back.
func TestDecidingColumnGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, column := range []string{"id", "ory", "email", "checked"} {
			t.Run(column, func(t *testing.T) {
				p := create(t, db, "email text, checked boolean", nil)
				p.users.Email, p.users.EmailVerified = "email", "checked"
				store := p.store(p.DB)
				l := linkerOf(store)
				l.AdoptVerifiedEmail = true
				id := identityWith(`{"email":"a@b.c"}`)
				id.Addresses = []symbolon.Address{{Value: "a@b.c", Via: "email", Verified: true}}
				link := func(id symbolon.Identity) error {
					_, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Admin: true})
					return err
				}
				if err := link(id); err != nil {
					t.Fatal(err)
				}
				p.must(t, p.sql(`alter table {users} rename column `+column+` to other`))
				id.ID = symbolon.IdentityID(newUUID())
				for range 3 {
					if err := link(id); !errors.Is(err, symbolon.ErrUnavailable) {
						t.Fatalf("got %v", err)
					}
				}
				if faults := store.TableFaults(); len(faults) != 1 || !strings.Contains(faults[0].Is, "no column "+column) {
					t.Errorf("faults: %+v", faults)
				}
				if err := p.store(p.DB).Check(t.Context()); err == nil || errors.Is(err, symbolon.ErrUnavailable) {
					t.Errorf("a restart: %v", err)
				}
				p.must(t, p.sql(`alter table {users} rename column other to `+column))
				if err := link(id); err != nil {
					t.Fatalf("after the return: %v", err)
				}
				store.Age()
				if err := link(id); err != nil {
					t.Fatal(err)
				}
				wantTableFaults(t, store)
			})
		}
	})
}

// TestRequiredColumnIsRenamed renames a filled column that may not be null. The table then
// refuses every new row, which is no denial of a person.
func TestRequiredColumnIsRenamed(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "email text not null", map[string]string{"email": "traits.email"})
		store := p.store(p.DB)
		l := linkerOf(store)
		id := identityWith(`{"email":"a@b.c"}`)
		link := func() error {
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			return err
		}
		if err := link(); err != nil {
			t.Fatal(err)
		}
		id.ID = symbolon.IdentityID(newUUID())
		p.must(t, p.sql(`alter table {users} rename column email to mail`))
		if err := link(); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		wantTableFaults(t, store, "no_column email", "refusing mail")
		p.must(t, p.sql(`alter table {users} rename column mail to email`))
		store.Age()
		if err := link(); err != nil {
			t.Fatal(err)
		}
		wantTableFaults(t, store)
	})
}

// TestEmptiedColumnGoes checks that an erasure does not call a row empty whose data may be
// in a column of another name.
func TestEmptiedColumnGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := fill(t, db)
		store := p.store(p.DB)
		l := linkerOf(store)
		l.OnIdentityDeleted, l.Ory, l.ProofGap = symbolon.AnonymiseRow, controlOnly(t), time.Millisecond
		id := identityWith(`{"email":"a@b.c","name":"Ann"}`)
		bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Admin: true})
		if err != nil {
			t.Fatal(err)
		}
		p.must(t, p.sql(`alter table {users} rename column email to mail`))
		proofs, err := l.ProveGone(t.Context(), []symbolon.IdentityID{id.ID}, control)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.EndGone(t.Context(), proofs[0]); err != nil {
			t.Fatal(err)
		}
		wantHistory(t, l, id.ID, "row_kept", "user.linked identity.gone finding.opened")
		if got := p.row(t, bond.User); got != "- inactive" {
			t.Errorf("row: %s", got)
		}
		refused, err := store.EraseUser(t.Context(), "default", bond.User, id.ID, symbolon.AnonymiseRow, "asked")
		if err != nil || !strings.Contains(refused, "column email") {
			t.Errorf("erase: %q %v", refused, err)
		}
		if _, left, err := store.LeftInRow(t.Context(), bond.User, id.ID); err != nil || !strings.Contains(strings.Join(left, " "), "email") {
			t.Errorf("left in the row: %q %v", left, err)
		}
		p.must(t, p.sql(`alter table {users} rename column mail to email`))
		store.Age()
		if _, err := l.EndGone(t.Context(), proofs[0]); err != nil {
			t.Fatal(err)
		}
		if _, left, err := store.LeftInRow(t.Context(), bond.User, id.ID); err != nil || len(left) != 0 {
			t.Errorf("left in the row after the return: %q %v", left, err)
		}
	})
}

// TestOnLinkHasAnotherShape checks that an error about a table of the application's, which
// OnLink uses, is not taken for a fault of the users table.
func TestOnLinkHasAnotherShape(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store, calls := fill(t, db).store(db.DB), 0
		store.OnLink = func(ctx context.Context, tx *sqlstore.Tx, _ symbolon.Link) error {
			calls++
			_, err := tx.SQL().ExecContext(ctx, `insert into nowhere (n) values (1)`)
			return err
		}
		_, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)})
		if err == nil || errors.Is(err, symbolon.ErrUnavailable) || calls != 1 {
			t.Errorf("%d calls, %v", calls, err)
		}
		wantTableFaults(t, store)
	})
}

// TestRequiredColumnsAreAllNamed has two required columns without a value: two that were added
// while the store runs, and two for which an identity has no value.
func TestRequiredColumnsAreAllNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "plan text not null, seats text not null", map[string]string{})
		store := p.store(p.DB)
		if _, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Error(err)
		}
		wantTableFaults(t, store, "refusing plan, seats")
		if is := store.TableFaults()[0].Is; !strings.Contains(is, ".plan ") || !strings.Contains(is, ".seats ") {
			t.Error(is)
		}
		p.users.Columns = map[string]string{"plan": "traits.plan", "seats": "traits.seats"}
		id := identityWith(`{}`)
		_, err := linkerOf(p.store(p.DB)).Link(t.Context(), symbolon.Reading{Identity: id})
		if !errors.Is(err, symbolon.ErrCannotCreate) || !strings.Contains(err.Error(), "the required columns plan, seats") {
			t.Error(err)
		}
	})
}
