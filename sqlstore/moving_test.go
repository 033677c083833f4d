package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// directory is Ory's admin API for a few people, who have an address each.
type directory struct {
	mu      sync.Mutex
	address map[symbolon.IdentityID]string // empty: none
	silent  map[symbolon.IdentityID]bool   // Ory does not answer for these
	asked   map[symbolon.IdentityID]int
	onAsk   func(symbolon.IdentityID) // called before an answer; may be nil
}

func (d *directory) HasAdmin() bool { return true }

func (d *directory) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	d.mu.Lock()
	onAsk := d.onAsk
	d.mu.Unlock()
	if onAsk != nil {
		onAsk(id)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[id]++
	if d.silent[id] {
		return symbolon.Identity{}, fmt.Errorf("identity %s: %w", id, symbolon.ErrUnavailable)
	}
	if _, ok := d.address[id]; !ok {
		return symbolon.Identity{}, fmt.Errorf("identity %s: %w", id, symbolon.ErrNotFound)
	}
	return d.identity(id), nil
}

func (d *directory) identity(id symbolon.IdentityID) symbolon.Identity {
	traits := `{}`
	if a := d.address[id]; a != "" {
		traits = fmt.Sprintf(`{"email":"%s@example.com"}`, a)
	}
	return symbolon.Identity{ID: id, State: symbolon.Active, Traits: []byte(traits)}
}

func (d *directory) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, errors.New("nobody writes to Ory here")
}

// Identities lists everybody.
func (d *directory) Identities(_ context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
	return func(yield func(symbolon.Identity, error) bool) {
		d.mu.Lock()
		all := slices.Sorted(maps.Keys(d.address))
		d.mu.Unlock()
		for _, id := range all {
			d.mu.Lock()
			found := d.identity(id)
			d.mu.Unlock()
			if id > from && !yield(found, nil) {
				return
			}
		}
	}
}

func (d *directory) set(id symbolon.IdentityID, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if address == "gone" {
		delete(d.address, id)
		return
	}
	d.address[id] = strings.TrimSuffix(address, "-")
}

func (d *directory) answers(id symbolon.IdentityID, answers bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent[id] = !answers
}

// town is a few linked people whose addresses move between them.
type town struct {
	*people
	t      testing.TB
	ory    *directory
	store  *sqlstore.Store
	linker *link.Linker
	ids    []symbolon.IdentityID // person 0, 1, …, in the order of the IDs
	users  []symbolon.UserID
}

// settle makes a table and links one person for each address.
func (p *people) settle(t *testing.T, addresses string) *town {
	t.Helper()
	w := &town{people: p, t: t, store: p.store(p.DB), ory: &directory{address: map[symbolon.IdentityID]string{},
		silent: map[symbolon.IdentityID]bool{}, asked: map[symbolon.IdentityID]int{}}}
	w.linker = w.newLinker(w.store)
	w.join(addresses)
	return w
}

// newLinker is the Linker of another process.
func (w *town) newLinker(store symbolon.Store) *link.Linker {
	l := linkerOf(store)
	l.Ory, l.ProofGap = w.ory, time.Millisecond
	return l
}

// join links more people.
func (w *town) join(addresses string) {
	w.t.Helper()
	var ids []symbolon.IdentityID
	for range strings.Fields(addresses) {
		ids = append(ids, symbolon.IdentityID(newUUID()))
	}
	slices.Sort(ids)
	for i, a := range strings.Fields(addresses) {
		w.ory.set(ids[i], a)
		got, err := w.linker.Refresh(w.t.Context(), ids[i], symbolon.FromLinkHook)
		if err != nil {
			w.t.Fatal(err)
		}
		w.ids, w.users = append(w.ids, ids[i]), append(w.users, got.User)
	}
}

// change changes the people's addresses at Ory.
func (w *town) change(addresses string) {
	for i, a := range strings.Fields(addresses) {
		w.ory.set(w.ids[i], a)
	}
}

// news has the hooks of these people arrive, one after another. An error is for the caller
// only if it is not that the identity is gone.
func (w *town) news(of ...int) {
	w.t.Helper()
	for _, i := range of {
		if _, err := w.linker.Refresh(w.t.Context(), w.ids[i], symbolon.FromSyncHook); err != nil && !errors.Is(err, symbolon.ErrNotFound) {
			w.t.Fatal(err)
		}
	}
}

// pass compares everybody with Ory and repairs, as the schedule does.
func (w *town) pass() reconcile.Report {
	w.t.Helper()
	r := &reconcile.Reconciler{Linker: w.linker, Ledger: w.store, Runs: w.store, Identities: w.ory.Identities}
	report, err := r.Run(w.t.Context(), reconcile.Options{Repair: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// rows returns the people's addresses in the table; "-" is null.
func (w *town) rows() string {
	w.t.Helper()
	var out []string
	for _, user := range w.users {
		var a string
		if err := w.QueryRow(w.sql(`select coalesce(email, '-') from {users} where cast(id as text) = $1`), string(user)).Scan(&a); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, strings.TrimSuffix(a, "@example.com"))
	}
	return strings.Join(out, " ")
}

// findings returns each person's open findings, as "0:duplicate_email".
func (w *town) findings() string {
	w.t.Helper()
	var out []string
	for i, id := range w.ids {
		r, err := w.linker.Record(w.t.Context(), string(id))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range r.Findings {
			out = append(out, fmt.Sprintf("%d:%s", i, f.Kind))
		}
	}
	return strings.Join(out, " ")
}

// TestMovingAddresses has addresses move between people.
func TestMovingAddresses(t *testing.T) {
	tests := []struct {
		name          string
		before, after string // the addresses at Ory; "-" is none, "gone" is a deleted identity
		news          []int  // whose hooks arrive, in this order; the others are lost
		do            func(w *town)
	}{
		{name: "swap", before: "a b", after: "b a", news: []int{0, 1}},
		{name: "swap, the second hook is lost", before: "a b", after: "b a", news: []int{0}},
		{name: "swap, the first hook is lost", before: "a b", after: "b a", news: []int{1}},
		{name: "swap, both hooks are lost", before: "a b", after: "b a"},
		{name: "ring of three", before: "a b c", after: "b c a", news: []int{0, 1, 2}},
		{name: "ring of three, other order, one is lost", before: "a b c", after: "b c a", news: []int{2, 0}},
		{name: "chain, from its free end", before: "a b c", after: "b c d", news: []int{2, 1, 0}},
		{name: "chain, from its other end", before: "a b c", after: "b c d", news: []int{0, 1, 2}},
		{name: "chain, one hook arrives", before: "a b c", after: "b c d", news: []int{0}},
		{name: "the holder has none now", before: "a b", after: "b -", news: []int{0}},
		{name: "the holder has it still", before: "a b", after: "b b", news: []int{0}},
		{name: "the holder was deleted at Ory", before: "a b", after: "b gone", news: []int{0}},
		{name: "the holder was forgotten", before: "a b", after: "b a", news: []int{0}, do: func(w *town) {
			tx, err := w.Begin()
			if err == nil {
				err = errors.Join(w.linker.Forget(w.t.Context(), tx, w.users[1]), tx.Commit())
			}
			if err != nil {
				w.t.Fatal(err)
			}
		}},
		{name: "the holder is held", before: "a b", after: "b a", news: []int{0}, do: func(w *town) {
			other := symbolon.IdentityID(newUUID())
			w.ory.set(other, "-")
			if _, err := w.linker.Bind(w.t.Context(), other, w.users[1], symbolon.BindOptions{Move: true}); err != nil {
				w.t.Fatal(err)
			}
		}},
		{name: "the holder has no identity", before: "a", after: "b", news: []int{0}, do: func(w *town) {
			w.must(w.t.(*testing.T), w.sql(`insert into {users} (id, email) values ($1, 'b@example.com')`), newUUID())
		}},
	}
	onBoth(t, func(t *testing.T, db database) {
		for _, column := range []string{"email text unique", "email text not null unique"} {
			for _, tt := range tests {
				p := create(t, db, column, map[string]string{"email": "traits.email"})
				w := p.settle(t, tt.before)
				if tt.do != nil {
					tt.do(w)
				}
				w.change(tt.after)
				w.news(tt.news...)
				after, findings := w.rows(), w.findings()
				w.pass()
				w.pass()
				t.Logf("%-28s | %-42s | %s → %s, news %v | %s [%s] | %s [%s]", column, tt.name, tt.before, tt.after, tt.news, after, findings, w.rows(), w.findings())
			}
		}
	})
}
