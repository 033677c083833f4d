package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	domain  string                         // of all addresses
	address map[symbolon.IdentityID]string // empty: none
	silent  map[symbolon.IdentityID]bool   // Ory does not answer for these
	asked   map[symbolon.IdentityID]int
	onAsk   func(symbolon.IdentityID) // called after Ory has read the identity, and before its answer arrives; may be nil
}

func (d *directory) HasAdmin() bool { return true }

func (d *directory) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	found, err := d.read(id)
	d.mu.Lock()
	onAsk := d.onAsk
	d.mu.Unlock()
	if onAsk != nil {
		onAsk(id)
	}
	return found, err
}

func (d *directory) read(id symbolon.IdentityID) (symbolon.Identity, error) {
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

// during calls f once, while Ory's answer about an identity is under way.
func (d *directory) during(of symbolon.IdentityID, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onAsk = func(id symbolon.IdentityID) {
		if id != of {
			return
		}
		d.mu.Lock()
		d.onAsk = nil
		d.mu.Unlock()
		f()
	}
}

func (d *directory) identity(id symbolon.IdentityID) symbolon.Identity {
	traits := `{}`
	if a := d.address[id]; a != "" {
		traits = fmt.Sprintf(`{"email":"%s@%s"}`, a, d.domain)
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

// identities is Ory's admin API for these identities.
type identities map[symbolon.IdentityID]symbolon.Identity

func (d identities) HasAdmin() bool { return true }

func (d identities) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	if found, ok := d[id]; ok {
		return found, nil
	}
	return symbolon.Identity{}, fmt.Errorf("identity %s: %w", id, symbolon.ErrNotFound)
}

func (d identities) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, errors.New("nobody writes to Ory here")
}

func (d *directory) isSilent(id symbolon.IdentityID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent[id]
}

func (d *directory) answers(id symbolon.IdentityID, answers bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent[id] = !answers
}

// kindOfColumn is a way in which a table keeps unique addresses.
type kindOfColumn struct {
	name, column, index string
	placeholder         string
	only                sqlstore.Dialect // empty: both
	likeAnother         bool             // the rows come out as in another kind
}

var kindsOfColumn = []kindOfColumn{
	{name: "nullable", column: "email text unique"},
	{name: "required", column: "email text not null unique"},
	{name: "required, with a placeholder", column: "email text not null unique check (email like '%@%')", placeholder: "moving-{user}@invalid"},
	{name: "deferrable", column: "email text not null unique deferrable", only: sqlstore.Postgres},
	{name: "deferred", column: "email text not null unique deferrable initially deferred", only: sqlstore.Postgres, likeAnother: true},
	{name: "without regard to case", column: "email text", index: "create unique index lower_{users} on {users} (lower(email))", likeAnother: true},
}

// exchanges reports whether two rows can exchange their values.
func (k kindOfColumn) exchanges() bool { return k.name != "required" }

// defers reports whether rows can exchange their values only by a deferred check. A row that
// has no new value cannot give up its old one then.
func (k kindOfColumn) defers() bool { return strings.Contains(k.column, "deferrable") }

func (k kindOfColumn) nullable() bool { return !strings.Contains(k.column, "not null") }

// create makes a table.
func (k kindOfColumn) create(t *testing.T, db database) *people {
	t.Helper()
	p := create(t, db, k.column, map[string]string{"email": "traits.email"})
	p.users.Placeholder = k.placeholder
	if k.index != "" {
		p.must(t, p.sql(k.index))
	}
	return p
}

// onEachColumn calls f with a table for each kind of column.
func onEachColumn(t *testing.T, kinds []kindOfColumn, f func(t *testing.T, k kindOfColumn, p *people)) {
	onBoth(t, func(t *testing.T, db database) {
		for _, k := range kinds {
			if k.only != "" && k.only != db.dialect {
				continue
			}
			t.Run(k.name, func(t *testing.T) {
				f(t, k, k.create(t, db))
			})
		}
	})
}

// town is a few linked people whose addresses move between them. Several towns can share a
// table: each is a project of its own, with addresses of its own.
type town struct {
	*people
	t      testing.TB
	ory    *directory
	store  *sqlstore.Store
	linker *link.Linker
	ids    []symbolon.IdentityID // person 0, 1, …, in the order of the IDs
	users  []symbolon.UserID
}

// settle links one person for each address.
func (p *people) settle(t testing.TB, store *sqlstore.Store, addresses string) *town {
	t.Helper()
	w := &town{people: p, t: t, store: store, ory: &directory{domain: fmt.Sprintf("t%d.example", towns.Add(1)), address: map[symbolon.IdentityID]string{},
		silent: map[symbolon.IdentityID]bool{}, asked: map[symbolon.IdentityID]int{}}}
	w.linker = w.newLinker(w.store)
	if err := w.linker.StartFresh(t.Context()); err != nil { // other towns have rows without an identity
		t.Fatal(err)
	}
	w.join(addresses)
	return w
}

var towns atomic.Int64

// newLinker is the Linker of one process.
func (w *town) newLinker(store symbolon.Store) *link.Linker {
	l := linkerOf(store)
	l.Ory, l.ProofGap, l.Project = w.ory, time.Millisecond, w.ory.domain
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

// change changes the people's addresses at Ory. "-" is none, "gone" is a deleted identity.
func (w *town) change(addresses string) {
	for i, a := range strings.Fields(addresses) {
		w.ory.set(w.ids[i], a)
	}
}

// news has the sync hooks of these people arrive, one after another.
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
	r := &reconcile.Reconciler{Linker: w.linker, Ledger: w.store, Identities: w.ory.Identities}
	report, err := r.Run(w.t.Context(), reconcile.Options{Repair: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// rows returns the people's addresses in the table. "-" is null, "?" is a placeholder.
func (w *town) rows() string {
	w.t.Helper()
	var out []string
	for _, user := range w.users {
		var a string
		if err := w.QueryRow(w.sql(`select coalesce(email, '-') from {users} where cast(id as text) = $1`), string(user)).Scan(&a); err != nil {
			w.t.Fatal(err)
		}
		if a == strings.ReplaceAll(w.people.users.Placeholder, "{user}", string(user)) {
			a = "?"
		}
		out = append(out, strings.TrimSuffix(a, "@"+w.ory.domain))
	}
	return strings.Join(out, " ")
}

// open returns the numbers of the people who have the finding duplicate_email.
func (w *town) open() string {
	w.t.Helper()
	var out []string
	for i := range w.ids {
		for _, f := range w.findings(i) {
			if f.Kind == symbolon.DuplicateEmail {
				out = append(out, strconv.Itoa(i))
			}
		}
	}
	return strings.Join(out, " ")
}

func (w *town) findings(i int) []symbolon.Finding {
	w.t.Helper()
	r, err := w.linker.Record(w.t.Context(), string(w.ids[i]))
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Findings
}

// want compares the rows and the open findings.
func (w *town) want(when, rows, open string) {
	w.t.Helper()
	if gotRows, gotOpen := w.rows(), w.open(); gotRows != rows || gotOpen != open {
		w.t.Errorf("%s: got the addresses %q and findings of %q, want %q and %q", when, gotRows, gotOpen, rows, open)
	}
}

// forget is the application, which deletes a user but keeps the row.
func (w *town) forget(i int) {
	w.t.Helper()
	tx, err := w.Begin()
	if err == nil {
		err = errors.Join(w.linker.Forget(w.t.Context(), tx, w.users[i]), tx.Commit())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) exec(text string, args ...any) {
	w.t.Helper()
	if _, err := w.Exec(w.sql(text), args...); err != nil {
		w.t.Fatal(err)
	}
}

// outcome is what the table has after some news, and the people with a finding.
type outcome struct{ rows, open string }

// TestMovingAddresses has addresses move between people, in each kind of column.
func TestMovingAddresses(t *testing.T) {
	same := func(*town) {}
	tests := []struct {
		name          string
		before, after string // the addresses at Ory
		news          []int  // whose hooks arrive, in this order; the others are lost
		do            func(w *town)
		want          outcome // after the news
		required      outcome // the same for a required column without a placeholder
		passed        outcome // after a comparison with Ory, where it differs
	}{
		{"swap", "a b", "b a", []int{0, 1}, same, outcome{"b a", ""}, outcome{"a b", "0 1"}, outcome{}},
		{"swap, the second hook is lost", "a b", "b a", []int{0}, same, outcome{"b a", ""}, outcome{"a b", "0 1"}, outcome{}},
		{"swap, the first hook is lost", "a b", "b a", []int{1}, same, outcome{"b a", ""}, outcome{"a b", "0 1"}, outcome{}},
		{"swap, both hooks are lost", "a b", "b a", nil, same, outcome{"a b", ""}, outcome{"a b", ""}, outcome{"b a", ""}},
		{"ring of three", "a b c", "b c a", []int{0, 1, 2}, same, outcome{"b c a", ""}, outcome{"a b c", "0 1 2"}, outcome{}},
		{"ring of three, other order, two are lost", "a b c", "b c a", []int{2}, same, outcome{"b c a", ""}, outcome{"a b c", "0 1 2"}, outcome{}},
		{"chain, from its free end", "a b c", "b c d", []int{2, 1, 0}, same, outcome{"b c d", ""}, outcome{"b c d", ""}, outcome{}},
		{"chain, from its other end", "a b c", "b c d", []int{0, 1, 2}, same, outcome{"b c d", ""}, outcome{"b c d", ""}, outcome{}},
		{"chain, one hook arrives", "a b c", "b c d", []int{0}, same, outcome{"b c d", ""}, outcome{"b c d", ""}, outcome{}},
		{"two swaps in one chain", "a b c d", "b a d c", []int{3, 0}, same, outcome{"b a d c", ""}, outcome{"a b c d", "0 1 2 3"}, outcome{}},
		{"the holder has it still", "a b", "b b", []int{0}, same, outcome{"a b", "0"}, outcome{"a b", "0"}, outcome{}},
		{"the end of a chain has it still", "a b c", "b c c", []int{0}, same, outcome{"b - c", "1"}, outcome{"a b c", "0 1"}, outcome{}},
		{"the holder was deleted at Ory", "a b", "b gone", []int{0}, same, outcome{"a b", "0"}, outcome{"a b", "0"}, outcome{}},
		{"the holder was forgotten", "a b", "b a", []int{0}, func(w *town) { w.forget(1) }, outcome{"a b", "0"}, outcome{"a b", "0"}, outcome{}},
		{"the holder's row lost its identity", "a b", "b a", []int{0}, func(w *town) {
			w.exec(`update {users} set ory = null where cast(id as text) = $1`, string(w.users[1]))
		}, outcome{"a b", "0"}, outcome{"a b", "0"}, outcome{}},
		{"the holder never had an identity", "a", "b", []int{0}, func(w *town) {
			w.exec(`insert into {users} (id, email) values ($1, $2)`, newUUID(), "b@"+w.ory.domain)
		}, outcome{"a", "0"}, outcome{"a", "0"}, outcome{}},
		{"Ory does not answer for the holder", "a b", "b a", []int{0}, func(w *town) { w.ory.answers(w.ids[1], false) },
			outcome{"a b", "0"}, outcome{"a b", "0"}, outcome{"b a", ""}}, // the listing of the pass is Ory's word, too
		{"another program wrote the holder's row", "a b", "c b", []int{0}, func(w *town) {
			w.exec(`update {users} set email = $1 where cast(id as text) = $2`, "c@"+w.ory.domain, string(w.users[1]))
		}, outcome{"c b", ""}, outcome{"c b", ""}, outcome{}},
	}
	onEachColumn(t, kindsOfColumn, func(t *testing.T, k kindOfColumn, p *people) {
		store := p.store(p.DB)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w := p.settle(t, store, tt.before)
				tt.do(w)
				w.change(tt.after)
				w.news(tt.news...)
				want, passed := tt.want, tt.want
				if tt.passed != (outcome{}) {
					passed = tt.passed
				}
				if !k.nullable() {
					want.rows = strings.ReplaceAll(want.rows, "-", "?")
				}
				if !k.exchanges() {
					want, passed = tt.required, tt.required
				}
				if k.defers() && strings.Contains(want.rows, "?") {
					want = tt.required // nothing but the ring itself can be written without a placeholder
				}
				w.want("after the news", want.rows, want.open)
				if tt.passed == (outcome{}) {
					passed = want
				} else if !k.exchanges() {
					passed = outcome{"a b", "0 1"}
				}
				for range 2 {
					w.pass()
					w.want("after a pass", passed.rows, passed.open)
				}
			})
		}
	})
}

// TestMovedRowsAreTouched has two people swap their addresses, and only one hook arrives. Each of
// the two rows gets the time of the write, and no other row does.
func TestMovedRowsAreTouched(t *testing.T) {
	exchanging := slices.DeleteFunc(slices.Clone(kindsOfColumn), func(k kindOfColumn) bool { return !k.exchanges() })
	onEachColumn(t, exchanging, func(t *testing.T, _ kindOfColumn, p *people) {
		p.must(t, p.sql(`alter table {users} add column changed_at timestamp`))
		p.users.Columns["changed_at"] = "updated_at"
		w := p.settle(t, p.store(p.DB), "a b c")
		p.must(t, p.sql(`update {users} set changed_at = '2020-01-02 03:04:05'`))
		w.change("b a c")
		w.news(0)
		w.want("after the news", "b a c", "")
		for i, want := range []int{0, 0, 1} {
			if n := p.count(t, p.sql(`select count(*) from {users} where changed_at < '2021-01-01' and cast(id as text) = '`+string(w.users[i])+`'`)); n != want {
				t.Errorf("person %d: %d rows have the old time, want %d", i, n, want)
			}
		}
		w.pass()
		w.want("after a pass", "b a c", "")
	})
}
