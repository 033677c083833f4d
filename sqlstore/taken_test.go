package sqlstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestNewcomerTakesAnAddress has somebody sign up with an address that its holder has given
// up at Ory, whose sync hook was lost. The newcomer's reading has no ticket, as that of a
// request.
func TestNewcomerTakesAnAddress(t *testing.T) {
	onEachColumn(t, kindsOfColumn, func(t *testing.T, k kindOfColumn, p *people) {
		store := p.store(p.DB)
		for _, tt := range []struct {
			now, rows string // the holder's address at Ory, and then the rows
			refused   bool   // a required column cannot be emptied without a placeholder
		}{
			{now: "b", rows: "b a"}, {now: "-", rows: "- a", refused: k.placeholder == "" && !k.nullable()},
		} {
			w := p.settle(t, store, "a")
			w.ory.set(w.ids[0], tt.now)
			id := symbolon.IdentityID(newUUID())
			w.ory.set(id, "a")
			got, err := w.linker.Link(t.Context(), symbolon.Reading{Identity: w.ory.identity(id), Source: symbolon.FromRequest})
			if tt.refused {
				if !errors.Is(err, symbolon.ErrCannotCreate) || w.rows() != "a" {
					t.Errorf("got %v, and the table has %s", err, w.rows())
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			w.ids, w.users = append(w.ids, id), append(w.users, got.User)
			rows := tt.rows
			if !k.nullable() {
				rows = strings.ReplaceAll(rows, "-", "?")
			}
			w.want("after the sign-up", rows, "")
		}
	})
}

// TestSwapIsQuiet checks the history of a swap: each row was updated once, and there was
// never a finding. The sync hook of one person was lost.
func TestSwapIsQuiet(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		w := p.settle(t, p.store(p.DB), "a b")
		w.change("b a")
		w.news(0, 0)
		w.pass()
		for _, id := range w.ids {
			wantHistory(t, w.linker, id, "", "user.linked user.updated")
		}
		if n := w.ory.asked[w.ids[1]]; n != 2 {
			t.Errorf("Ory was asked %d times for the other person, want once at the link and once for the swap", n)
		}
	})
}

// TestKeptValueTouchesNobody has a value that its holder keeps at Ory. The holder is asked
// for, and its row and its history do not change, however often that is tried.
func TestKeptValueTouchesNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		w := p.settle(t, p.store(p.DB), "a b")
		w.change("b b")
		w.news(0)
		for range 2 {
			report := w.pass()
			if report.Repaired[symbolon.DuplicateEmail] != 0 || report.Found[symbolon.DuplicateEmail] != 1 {
				t.Errorf("the run found %v and repaired %v", report.Found, report.Repaired)
			}
		}
		wantHistory(t, w.linker, w.ids[0], "duplicate_email", "user.linked user.updated finding.opened")
		wantHistory(t, w.linker, w.ids[1], "", "user.linked")
		if detail := w.findings(0)[0].Detail; !strings.Contains(detail, string(w.ids[1])) || strings.Contains(detail, "@") {
			t.Errorf("the finding says %q", detail)
		}
	})
}

// TestHoldersAreNotAsked has holders about whom Ory cannot or must not be asked.
func TestHoldersAreNotAsked(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		store := p.store(p.DB)
		t.Run("no admin URL", func(t *testing.T) {
			w := p.settle(t, store, "a b")
			w.change("b a")
			public := linkerOf(store)
			public.Project = w.ory.domain
			ticket, err := store.Ticket(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := public.Link(t.Context(), symbolon.Reading{Identity: w.ory.identity(w.ids[0]), Ticket: ticket}); err != nil {
				t.Fatal(err)
			}
			w.want("afterwards", "a b", "0")
		})
		t.Run("the user of another project", func(t *testing.T) {
			w, other := p.settle(t, store, "a"), p.settle(t, store, "b")
			other.exec(`update {users} set email = $1 where cast(id as text) = $2`, "b@"+w.ory.domain, string(other.users[0]))
			w.change("b")
			w.news(0)
			w.want("afterwards", "a", "0")
			if n := w.ory.asked[other.ids[0]]; n != 0 {
				t.Errorf("this project's Ory was asked %d times for the identity of another project", n)
			}
		})
		t.Run("a value that many rows have", func(t *testing.T) {
			p := create(t, db, "email text not null, team text not null, unique (team, email)", map[string]string{"email": "traits.email", "team": "default(traits.team, 'red')"})
			w := p.settle(t, p.store(p.DB), "a b c d e f g h i j")
			id := symbolon.IdentityID(newUUID())
			w.ory.set(id, "a")
			clear(w.ory.asked)
			if _, err := w.linker.Refresh(t.Context(), id, symbolon.FromLinkHook); !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Errorf("got %v", err)
			}
			if len(w.ory.asked) != 2 {
				t.Errorf("Ory was asked for %d identities, want the newcomer and the one with its address", len(w.ory.asked))
			}
		})
		t.Run("a long chain", func(t *testing.T) {
			var before, after []string
			for i := range 20 {
				before, after = append(before, fmt.Sprint("n", i)), append(after, fmt.Sprint("n", i+1))
			}
			w := p.settle(t, store, strings.Join(before, " "))
			w.change(strings.Join(after, " "))
			clear(w.ory.asked)
			w.news(0)
			if n := len(w.ory.asked); n > 17 {
				t.Errorf("Ory was asked for %d identities", n)
			}
			w.pass()
			w.want("after a pass", strings.Join(after, " "), "")
		})
	})
}

// TestOtherUniqueValues moves values that are no addresses, two columns at once, and values
// that are unique only together with another column.
func TestOtherUniqueValues(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "email text, phone text not null unique, team text, active boolean, unique (team, email)",
			map[string]string{"email": "traits.email", "phone": "traits.phone", "team": "traits.team", "active": "active"})
		p.users.Placeholder = "moving-{user}"
		store := p.store(p.DB)
		w := p.settle(t, store, "")
		person := func(id symbolon.IdentityID, email, phone string) symbolon.Identity {
			return symbolon.Identity{ID: id, State: symbolon.Active, Traits: fmt.Appendf(nil, `{"email":%q,"phone":%q,"team":"red"}`, email, phone)}
		}
		w.linker.Ory = identities{}
		for _, phone := range []string{"1", "2"} {
			id := symbolon.IdentityID(newUUID())
			got, err := w.linker.Link(t.Context(), symbolon.Reading{Identity: person(id, phone+"@example.com", phone), Admin: true})
			if err != nil {
				t.Fatal(err)
			}
			w.ids, w.users = append(w.ids, id), append(w.users, got.User)
		}
		var banned []symbolon.IdentityID
		defer w.linker.Watch(func(id symbolon.IdentityID) { banned = append(banned, id) })()
		ann, bob := person(w.ids[0], "2@example.com", "2"), person(w.ids[1], "2@example.com", "2")
		swap := func(want, kinds string) {
			t.Helper()
			w.linker.Ory = identities{ann.ID: ann, bob.ID: bob}
			w.news(0)
			var got []string
			for _, user := range w.users {
				var row string
				err := w.QueryRow(w.sql(`select email || ' ' || phone || case when active then '' else ' banned' end from {users} where cast(id as text) = $1`), string(user)).Scan(&row)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, row)
			}
			var found []string
			for _, f := range w.findings(0) {
				found = append(found, string(f.Kind))
			}
			if rows, open := strings.Join(got, ", "), strings.Join(found, " "); rows != want || open != kinds {
				t.Errorf("rows %q, findings %q, want %q and %q", rows, open, want, kinds)
			}
		}
		swap("1@example.com 1, 2@example.com 2", "duplicate_email duplicate_value")
		bob = person(w.ids[1], "1@example.com", "1")
		bob.State = symbolon.Inactive
		swap("2@example.com 2, 1@example.com 1 banned", "")
		if len(banned) != 1 || banned[0] != bob.ID {
			t.Errorf("watchers heard of %v, want the banned person", banned)
		}
	})
}

// TestRequiredRingSaysWhatToDo checks the finding of a swap in a required column.
func TestRequiredRingSaysWhatToDo(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[1].create(t, db)
		w := p.settle(t, p.store(p.DB), "a b")
		w.change("b a")
		w.news(0)
		for i := range w.ids {
			detail := w.findings(i)[0].Detail
			if !strings.Contains(detail, "users.placeholder") || !strings.Contains(detail, string(w.users[1-i])) || strings.Contains(detail, "@") {
				t.Errorf("the finding of %d says %q", i, detail)
			}
		}
		p.users.Placeholder = "no marker"
		if err := p.store(p.DB).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "{user}") {
			t.Errorf("a placeholder without the user's ID: %v", err)
		}
	})
}

// TestNoStatementMore counts the messages to Postgres for an update without a collision. They
// are the same whether or not Ory can be asked about holders.
func TestNoStatementMore(t *testing.T) {
	sent, db := open(t, sqlstore.Postgres).counted(t)
	p := kindsOfColumn[0].create(t, db)
	store := p.store(p.DB)
	w := p.settle(t, store, "a")
	count := func(asks bool) int64 {
		var trips int64
		for n := range 3 { // the first calls prepare the statements
			w.ory.set(w.ids[0], fmt.Sprint("x", n, asks))
			ticket, err := store.Ticket(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			q := queryFor(w.ory.identity(w.ids[0]))
			q.Project, q.Reading.Ticket, q.AskHolders = w.ory.domain, ticket, asks
			before := sent.Load()
			if _, err := store.Write(t.Context(), q, func(symbolon.Evidence) (symbolon.Plan, error) {
				return symbolon.Plan{Action: symbolon.Update, User: w.users[0]}, nil
			}); err != nil {
				t.Fatal(err)
			}
			trips = sent.Load() - before
		}
		return trips
	}
	if without, with := count(false), count(true); without != with || with != 5 {
		t.Errorf("%d messages without holders, %d with, want 5", without, with)
	}
}

// TestSwapInOtherLetters swaps addresses that the index takes for equal although their
// letters differ in case.
func TestSwapInOtherLetters(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		k := kindsOfColumn[slices.IndexFunc(kindsOfColumn, func(k kindOfColumn) bool { return k.index != "" })]
		p := k.create(t, db)
		w := p.settle(t, p.store(p.DB), "ann bob")
		w.change("BOB Ann")
		w.news(0)
		w.want("after the news", "BOB Ann", "")
		w.change("BOB bob") // Ory gives both the same address
		w.news(1)
		w.want("of two people with one address", "BOB Ann", "1")
		w.pass()
		wantHistory(t, w.linker, w.ids[0], "", "user.linked user.updated")
	})
}
