package symbolontest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// These tests check that many identities at once get the same results as one by one,
// whether the store is a symbolon.BulkStore or links them one by one.

// seenAll returns readings of identities as a reconcile run makes them.
func seenAll(ticket symbolon.Ticket, ids ...symbolon.Identity) []symbolon.Reading {
	out := make([]symbolon.Reading, len(ids))
	for i, id := range ids {
		out[i] = symbolon.Reading{Identity: id, Source: symbolon.FromReconcile, Admin: true, Ticket: ticket}
	}
	return out
}

func (w *world) people(n int) []symbolon.Identity {
	out := make([]symbolon.Identity, n)
	for i := range out {
		out[i] = w.identity(fmt.Sprintf("p%d@example.com", i))
	}
	return out
}

func testLinkAll(w *world) {
	known, gone, foreign, reserved := w.identity(""), w.identity(""), w.claiming("somebody else's"), w.claiming(string(w.minter.Mint(w.now())))
	before, lost, byRow := w.link(known), w.link(gone), w.identity("")
	user := w.InsertUser(byRow.ID)
	w.DeleteUser(lost.User)
	ids := append(w.people(30), known, gone, foreign, reserved, byRow, symbolon.Identity{ID: "nobody"}, known)
	ids = append(ids, ids[0])
	ticket, err := w.Store.Ticket(w.ctx)
	w.must(err)
	var first []link.Result
	for round := range 3 {
		results := w.linker.LinkAll(w.ctx, seenAll(ticket, ids...))
		same(w, "results", len(results), len(ids))
		for i, r := range results {
			switch id := ids[i]; id.ID {
			case gone.ID:
				w.wantErr(r.Err, symbolon.ErrUserGone)
			case "nobody":
				same(w, "an invalid ID", r.Err != nil && !errors.Is(r.Err, symbolon.ErrUnavailable), true)
			default:
				w.must(r.Err)
				same(w, "identity", r.Link.Identity, id.ID)
				same(w, "row", w.Users()[r.Link.User], id.ID)
				same(w, "ticket", r.Link.Ticket, ticket)
			}
		}
		if round == 0 {
			first = results
		}
		for i := range results {
			same(w, "the user stays", results[i].Link.User, first[i].Link.User)
		}
	}
	same(w, "the user of before", first[30].Link.User, before.User)
	same(w, "the user of the row", first[34].Link.User, user)
	same(w, "users", len(w.Users()), 34)
	for _, id := range ids[:30] {
		same(w, "history", w.events(id.ID), "user.linked")
		same(w, "way", w.look(query(id)).Link.Source, symbolon.FromReconcile)
	}
	same(w, "findings", w.findings(foreign.ID), "foreign_back_reference")
	if w.Store.NewID() == symbolon.ByMint {
		same(w, "reserved", fmt.Sprintf(`{"id":%q}`, first[33].Link.User), string(reserved.MetadataPublic))
		same(w, "back-reference", first[33].Link.BackReference, string(first[33].Link.User))
	}
	if w.Email != nil {
		same(w, "e-mail", w.Email(first[7].Link.User), "p7@example.com")
	}
	if len(w.linker.LinkAll(w.ctx, nil)) != 0 {
		w.Error("an unknown identity was linked")
	}
}

// testCreateAll checks that a BulkStore writes nothing for a plan that is more than a
// Create, and nothing for a known identity.
func testCreateAll(w *world) {
	store, ok := w.Store.(symbolon.BulkStore)
	if !ok || w.Store.NewID() == symbolon.ByApplication {
		w.Log("the store makes one link at a time, or makes no users")
		return
	}
	known := w.identity("")
	w.link(known)
	byRow := w.identity("")
	claimed := w.InsertUser(byRow.ID)
	ids := append(w.people(12), known, byRow)
	var qs []symbolon.Query
	for _, id := range ids {
		qs = append(qs, query(id))
	}
	claimer := w.claiming(string(claimed))
	ids, qs = append(ids, claimer), append(qs, query(claimer, claimed))
	var asked []int
	fresh := func() symbolon.UserID {
		if w.Store.NewID() == symbolon.ByMint {
			return w.minter.Mint(w.now())
		}
		return ""
	}
	plan := func(n int, h symbolon.Evidence) symbolon.Plan {
		asked = append(asked, n)
		same(w, "claims", len(h.Claims), len(qs[n].Claims))
		p := symbolon.Plan{Action: symbolon.Create, User: fresh(), Why: "because"}
		if w.Store.NewID() == symbolon.ByIdentity {
			p.User = symbolon.UserID(ids[n].ID)
		}
		switch n {
		case 0:
			p = symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.Moved}
		case 1:
			p.Findings = []symbolon.Finding{{Kind: symbolon.VoucherVoid}}
		case 2:
			p.Conflict = true
		case 3:
			p.Retire = "x"
		case 4:
			p = symbolon.Plan{Action: symbolon.Keep}
		}
		return p
	}
	out, err := store.CreateAll(w.ctx, qs, plan)
	w.must(err)
	same(w, "outcomes", len(out), len(qs))
	same(w, "asked about", len(asked), 12)
	for n, o := range out {
		same(w, "new", o.New, n >= 5 && n < 12)
		if o.New {
			same(w, "why", w.record(string(ids[n].ID)).Events[0].Detail, "because")
			same(w, "link", w.link(ids[n]), o.Link)
			continue
		}
		if n < 5 {
			w.unheard(ids[n])
		}
	}
	same(w, "users", len(w.Users()), 9)
}

// testLinkAllRaces calls Link and LinkAll concurrently through two stores. Each identity
// gets exactly one user.
func testLinkAllRaces(w *world) {
	people := w.people(24)
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	var mu sync.Mutex
	users := map[symbolon.IdentityID]symbolon.UserID{}
	note := func(r link.Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Err != nil {
			w.Errorf("link: %v", r.Err)
			return
		}
		if u, ok := users[r.Link.Identity]; ok && u != r.Link.User {
			w.Errorf("identity %s has users %s and %s", r.Link.Identity, u, r.Link.User)
		}
		users[r.Link.Identity] = r.Link.User
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for round := range 3 {
				shuffled := make([]symbolon.Identity, 0, len(people))
				for _, at := range rand.Perm(len(people)) {
					shuffled = append(shuffled, people[at])
				}
				if (g+round)%2 == 0 {
					for _, r := range linkers[g/4].LinkAll(w.ctx, seenAll(0, shuffled[:16]...)) {
						note(r)
					}
					continue
				}
				for _, p := range shuffled[:6] {
					bond, err := linkers[g/4].Link(w.ctx, seen(p))
					note(link.Result{Link: bond, Err: err})
				}
			}
		})
	}
	wg.Wait()
	for _, r := range w.linker.LinkAll(w.ctx, seenAll(0, people...)) {
		note(r)
	}
	same(w, "rows", len(w.Users()), len(people))
	for _, p := range people {
		same(w, "history", w.events(p.ID), "user.linked")
	}
}

// testLinkAllOneID lets many identities in one call claim one reserved ID.
func testLinkAllOneID(w *world) {
	reserved, ok := w.reserve()
	if !ok {
		return
	}
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again(), w.secret)}
	var wg sync.WaitGroup
	for g := range 4 {
		var ids []symbolon.Identity
		for range 5 {
			ids = append(ids, w.carrying(reserved))
		}
		wg.Go(func() {
			for _, r := range linkers[g%2].LinkAll(w.ctx, seenAll(0, ids...)) {
				if r.Err != nil && !errors.Is(r.Err, symbolon.ErrOnHold) { // after ten refused claims in an hour the others are held
					w.Errorf("link: %v", r.Err)
				}
			}
		})
	}
	wg.Wait()
	winners := map[symbolon.IdentityID]bool{}
	for user, id := range w.Users() {
		if user == reserved.User {
			winners[id] = true
		}
	}
	same(w, "winners", len(winners), 1)
	same(w, "users", len(w.Users()), 11)
}

// testLinkAllOnLink checks that an error of OnLink for one identity does not affect the
// others.
func testLinkAllOnLink(w *world) {
	if w.OnLink == nil {
		w.Log("the store has no OnLink")
		return
	}
	people, mine := w.people(20), errors.New("no org today")
	unlucky := people[13]
	calls := map[symbolon.IdentityID]symbolon.Link{}
	w.OnLink(func(ctx context.Context, tx symbolon.Execer, bond symbolon.Link) error {
		calls[bond.Identity] = bond
		if err := w.Scribble(ctx, tx); err != nil {
			return err
		}
		if bond.Identity == unlucky.ID {
			return mine
		}
		return nil
	})
	w.linker = w.newLinker(lone{w.Store}) // one call at a time, so calls needs no lock
	after := map[symbolon.IdentityID]int{}
	var mu sync.Mutex
	if bulk, ok := w.Store.(symbolon.BulkStore); ok {
		w.linker = w.newLinker(loneBulk{lone{w.Store}, bulk})
	}
	w.linker.AfterLink = func(_ context.Context, bond symbolon.Link) {
		mu.Lock()
		defer mu.Unlock()
		after[bond.Identity]++
	}
	for i, r := range w.linker.LinkAll(w.ctx, seenAll(0, people...)) {
		if people[i].ID == unlucky.ID {
			w.wantErr(r.Err, mine)
			same(w, "unavailable", errors.Is(r.Err, symbolon.ErrUnavailable), false)
			w.unheard(unlucky)
			continue
		}
		w.must(r.Err)
		same(w, "OnLink was told", calls[people[i].ID], r.Link)
		same(w, "AfterLink was told", after[people[i].ID], 1)
	}
	same(w, "scribbles", w.Scribbled(), 19)
	same(w, "users", len(w.Users()), 19)
	same(w, "AfterLink", len(after), 19)
}

// lone allows one call of Write at a time.
type lone struct{ symbolon.Store }

var oneAtATime sync.Mutex

func (l lone) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	return l.Store.Write(ctx, q, decide)
}

type loneBulk struct {
	lone
	symbolon.BulkStore
}

// testLinkAllGivesUp checks that "don't know" is never a denial and leaves nothing.
func testLinkAllGivesUp(w *world) {
	people := w.people(40)
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	for _, r := range w.linker.LinkAll(ctx, seenAll(0, people...)) {
		w.wantErr(r.Err, symbolon.ErrUnavailable)
	}
	if w.Stop != nil {
		start := w.Stop()
		ctx, cancel := context.WithTimeout(w.ctx, 300*time.Millisecond)
		began := time.Now()
		for _, r := range w.linker.LinkAll(ctx, seenAll(0, people...)) {
			w.wantErr(r.Err, symbolon.ErrUnavailable)
		}
		if took := time.Since(began); took > 4500*time.Millisecond {
			w.Errorf("the error took %v", took)
		}
		cancel()
		start()
		w.answers()
	}
	for _, p := range people {
		w.unheard(p)
	}
	same(w, "users", len(w.Users()), 0)
	for _, r := range w.linker.LinkAll(w.ctx, seenAll(0, people...)) {
		w.must(r.Err)
	}
	same(w, "users", len(w.Users()), 40)
}

// answers retries until the store answers. After a stop each connection of a pool can
// fail once.
func (w *world) answers() {
	for range 20 {
		if _, err := w.linker.Record(w.ctx, "nobody"); errors.Is(err, symbolon.ErrNotFound) {
			return
		}
	}
}
