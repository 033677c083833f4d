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

func testBind(w *world) {
	if w.OneColumn {
		w.Log("each user has an identity")
		return
	}
	id := w.identity("ada@example.com")
	user := w.InsertUser("")
	link, err := w.linker.Bind(w.ctx, id.ID, user, symbolon.BindOptions{Why: "ticket 42"})
	w.must(err)
	same(w, "user", link.User, user)
	same(w, "way", link.Source, symbolon.FromOperator)
	same(w, "row", w.Users()[user], id.ID)
	again, err := w.linker.Bind(w.ctx, id.ID, user, symbolon.BindOptions{})
	w.must(err)
	same(w, "again", again, link)
	r := w.record(string(id.ID))
	same(w, "events", len(r.Events), 1)
	same(w, "why", r.Events[0].Detail, "ticket 42")
	_, err = w.linker.Bind(w.ctx, w.identity("").ID, user, symbolon.BindOptions{})
	w.wantErr(err, symbolon.ErrConflict)
	_, err = w.linker.Bind(w.ctx, id.ID, w.InsertUser(""), symbolon.BindOptions{})
	w.wantErr(err, symbolon.ErrConflict)

	// Bind repairs an identity column that was set to null.
	w.SetIdentity(user, "")
	_, err = w.linker.Link(w.ctx, seen(id))
	w.wantErr(err, symbolon.ErrOnHold)
	_, err = w.linker.Bind(w.ctx, id.ID, user, symbolon.BindOptions{Why: "mended"})
	w.must(err)
	same(w, "settled", w.link(id).User, user)
	same(w, "findings", w.findings(id.ID), "")
	same(w, "history", w.events(id.ID), "user.linked finding.opened user.updated finding.closed")
}

func testMove(w *world) {
	if w.OneColumn {
		w.Log("no user can move")
		return
	}
	from, to := w.identity(""), w.identity("")
	user, left := w.link(from).User, w.link(to).User
	link, err := w.linker.Bind(w.ctx, to.ID, user, symbolon.BindOptions{Move: true, Why: "merged"})
	w.must(err)
	same(w, "user", link.User, user)
	same(w, "row", w.Users()[user], to.ID)
	same(w, "the row that was left", w.Users()[left], "")
	_, err = w.linker.Link(w.ctx, seen(from))
	w.wantErr(err, symbolon.ErrOnHold)
	held := w.record(string(from.ID))
	same(w, "state", held.Link.State, symbolon.OnHold)
	same(w, "reason", held.Link.Reason, symbolon.Moved)
	same(w, "findings", w.findings(from.ID), "moved")
	same(w, "history of the loser", w.events(from.ID), "user.linked link.moved user.linked finding.opened")
	var e symbolon.Event
	for _, found := range w.record(string(to.ID)).Events {
		if found.Identity == to.ID {
			e = found
		}
	}
	if e.Kind != symbolon.UserLinked || e.User != user || e.Before != left || e.Detail != "merged" {
		w.Fatalf("event: %+v", e)
	}
	if w.Store.NewID() != symbolon.ByIdentity { // by identity, the user's ID is also the former identity's ID
		same(w, "owner by record", w.record(string(user)).Link.Identity, to.ID)
	}

	// The identity that lost its user gets the other user, and its hold ends.
	link, err = w.linker.Bind(w.ctx, from.ID, left, symbolon.BindOptions{})
	w.must(err)
	same(w, "user", link.User, left)
	same(w, "findings", w.findings(from.ID), "")
	same(w, "linked", w.link(from).User, left)
	same(w, "linked", w.link(to).User, user)
}

// testSwap moves a user away from an identity that only the row names.
func testSwap(w *world) {
	if w.OneColumn {
		w.Log("no user can move")
		return
	}
	unknown, to := newIdentityID(), w.identity("")
	user := w.InsertUser(unknown)
	w.ory.put(symbolon.Identity{ID: unknown})
	_, err := w.linker.Bind(w.ctx, to.ID, user, symbolon.BindOptions{})
	w.wantErr(err, symbolon.ErrConflict)
	_, err = w.linker.Bind(w.ctx, to.ID, user, symbolon.BindOptions{Move: true})
	w.must(err)
	_, err = w.linker.Link(w.ctx, seen(symbolon.Identity{ID: unknown}))
	w.wantErr(err, symbolon.ErrOnHold)
	same(w, "rows", len(w.Users()), 1)

	// The row names one identity and the ledger another. A move takes the user from both.
	a := w.identity("")
	w.SetIdentity(user, a.ID)
	third := w.identity("")
	_, err = w.linker.Bind(w.ctx, third.ID, user, symbolon.BindOptions{Move: true})
	w.must(err)
	same(w, "linked", w.link(third).User, user)
	for _, loser := range []symbolon.IdentityID{a.ID, to.ID} {
		same(w, "reason", w.look(query(symbolon.Identity{ID: loser})).Link.Reason, symbolon.Moved)
	}
}

// testDuplicates checks that concurrent and repeated calls give each identity one user.
func testDuplicates(w *world) {
	people := make([]symbolon.Identity, 8)
	for i := range people {
		people[i] = w.identity(fmt.Sprintf("p%d@example.com", i))
	}
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	var mu sync.Mutex
	users := map[symbolon.IdentityID]symbolon.UserID{}
	var wg sync.WaitGroup
	for g := range 40 { // more calls at once than a pool of 16 has connections
		wg.Go(func() {
			for _, at := range rand.Perm(len(people)) {
				link, err := linkers[g%2].Link(w.ctx, seen(people[at]))
				if err != nil {
					w.Errorf("link: %v", err)
					return
				}
				mu.Lock()
				if u, ok := users[link.Identity]; ok && u != link.User {
					w.Errorf("identity %s has users %s and %s", link.Identity, u, link.User)
				}
				users[link.Identity] = link.User
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	same(w, "rows", len(w.Users()), len(people))
	for _, p := range people {
		same(w, "history", w.events(p.ID), "user.linked")
	}
}

func testCrowd(w *world) {
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				if _, err := linkers[g%2].Link(w.ctx, seen(w.identity(fmt.Sprintf("p%d.%d@example.com", g, i)))); err != nil {
					w.Errorf("link: %v", err)
				}
			}
		})
	}
	wg.Wait()
	holders := map[symbolon.IdentityID]bool{}
	for _, id := range w.Users() {
		holders[id] = true
	}
	same(w, "users", len(w.Users()), 80)
	same(w, "identities", len(holders), 80)
}

// testOneIDForMany checks that decide runs again if an ID was free when it was read and
// is in use when it is written.
func testOneIDForMany(w *world) {
	reserved, ok := w.reserve()
	if !ok {
		return
	}
	stores := []symbolon.Store{w.Store, w.Again()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	for g := range 6 {
		wg.Go(func() {
			id := w.carrying(reserved)
			out, err := stores[g%2].Write(w.ctx, query(id, reserved.User), func(h symbolon.Evidence) (symbolon.Plan, error) {
				drawn := reserved.Proof != ""
				switch {
				case h.Claims[0] == (symbolon.Claimed{}) && h.Unusable == "":
					time.Sleep(5 * time.Millisecond)
					return symbolon.Plan{Action: symbolon.Create, User: reserved.User, Reserved: drawn}, nil
				case drawn:
					return symbolon.Plan{Action: symbolon.Create}, nil
				}
				return symbolon.Plan{Action: symbolon.Create, User: w.minter.Mint(w.now())}, nil
			})
			if err != nil {
				w.Errorf("write: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if out.Link.User == reserved.User {
				winners++
			}
		})
	}
	wg.Wait()
	same(w, "winners", winners, 1)
	same(w, "users", len(w.Users()), 6)
}

// testBreaker checks the limit: after ten refused claims in an hour exactly the other
// claims are held.
func testBreaker(w *world) {
	owner := w.link(w.identity("")).User
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	var wg sync.WaitGroup
	var mu sync.Mutex
	linked, held := 0, 0
	var unlucky symbolon.Identity
	for g := range 24 {
		wg.Go(func() {
			id := w.claiming(string(owner))
			_, err := linkers[g%2].Link(w.ctx, seen(id))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				linked++
			case errors.Is(err, symbolon.ErrOnHold):
				held++
				unlucky = id
			default:
				w.Errorf("link: %v", err)
			}
		})
	}
	wg.Wait()
	same(w, "linked", linked, 10)
	same(w, "held", held, 14)
	same(w, "users", len(w.Users()), 11)
	same(w, "history", w.events(unlucky.ID), "link.held finding.opened")
	_, err := w.linker.Link(w.ctx, seen(unlucky))
	w.wantErr(err, symbolon.ErrOnHold)
	same(w, "history", w.events(unlucky.ID), "link.held finding.opened")
	w.link(w.identity("")) // other identities are not held
}

func testCancel(w *world) {
	id := w.identity("")
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	_, err := w.Store.Read(ctx, query(id))
	w.wantErr(err, symbolon.ErrUnavailable)
	w.wantErr(err, context.Canceled)
	_, err = w.Store.Ticket(ctx)
	w.wantErr(err, symbolon.ErrUnavailable)
	_, err = w.linker.Link(ctx, seen(id))
	w.wantErr(err, symbolon.ErrUnavailable)
	ctx, cancel = context.WithCancel(w.ctx)
	_, err = w.Store.Write(ctx, query(id), func(symbolon.Evidence) (symbolon.Plan, error) {
		cancel()
		return symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.Moved}, nil
	})
	w.wantErr(err, symbolon.ErrUnavailable)
	w.unheard(id)
	w.link(id)
}

func testStopped(w *world) {
	if w.Stop == nil {
		w.Log("the database cannot be stopped")
		return
	}
	known, fresh := w.identity(""), w.identity("")
	user := w.link(known).User
	start := w.Stop()
	// A store gives up by itself after some seconds. A caller with a shorter timeout does
	// not wait that long.
	for timeout, limit := range map[time.Duration]time.Duration{300 * time.Millisecond: 4500 * time.Millisecond, 40 * time.Second: 30 * time.Second} {
		ctx, cancel := context.WithTimeout(w.ctx, timeout)
		began := time.Now()
		_, err := w.linker.Link(ctx, seen(fresh))
		w.wantErr(err, symbolon.ErrUnavailable)
		if took := time.Since(began); took > limit {
			w.Errorf("the error took %v", took)
		}
		cancel()
	}
	start()
	w.answers()
	w.unheard(fresh)
	same(w, "user", w.link(known).User, user)
	w.link(fresh)
	same(w, "users", len(w.Users()), 2)
}

// testHistory checks that the events of every identity rebuild its entry.
func testHistory(w *world) {
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	people := make([]symbolon.Identity, 6)
	for i := range people {
		people[i] = w.identity("")
	}
	var wg sync.WaitGroup
	for g := range 4 {
		r := rand.New(rand.NewPCG(uint64(g), 20260101))
		wg.Go(func() {
			for range 40 {
				w.happen(r, linkers[g%2], people)
			}
		})
	}
	wg.Wait()
	w.checkHistory(people)
	if w.Compact != nil {
		w.must(w.Compact(w.ctx, time.Now().Add(time.Hour)))
		w.checkHistory(people)
	}
}

// checkHistory checks that the events of these people rebuild their entries.
func (w *world) checkHistory(people []symbolon.Identity) {
	bound := map[symbolon.UserID]symbolon.IdentityID{}
	for _, p := range people {
		h := w.look(query(p))
		if h.Link == nil {
			continue
		}
		got, want := w.replay(p.ID), *h.Link
		// A record has the newest 100 events. If answers of commits are lost, moves of
		// one user can repeat so often that the first events are cut off.
		whole := len(w.record(string(p.ID)).Events) < 100
		if whole && (got.State != want.State || got.User != want.User || got.Reason != want.Reason) {
			w.Errorf("identity %s: replayed %+v, the ledger says %+v", p.ID, got, want)
		}
		if want.State == symbolon.Linked {
			if other, ok := bound[want.User]; ok {
				w.Errorf("user %s is bound to %s and %s", want.User, other, p.ID)
			}
			bound[want.User] = p.ID
		}
	}
}

// happen runs one random operation. It accepts every result except ErrUnavailable. Such an
// operation is tried again, as a person would: a commit may be unanswered each time, and other
// writers may change the entry each time before the store can look.
func (w *world) happen(r *rand.Rand, l *link.Linker, people []symbolon.Identity) {
	p, other, n := people[r.IntN(len(people))], people[r.IntN(len(people))], r.IntN(10)
	err := w.operation(n, l, p, other)
	for tries := 1; tries < 3 && errors.Is(err, symbolon.ErrUnavailable); tries++ {
		err = w.operation(n, l, p, other)
	}
	if errors.Is(err, symbolon.ErrUnavailable) {
		w.Errorf("the store did not answer: %v", err)
	}
}

func (w *world) operation(n int, l *link.Linker, p, other symbolon.Identity) (err error) {
	switch {
	case n < 5:
		_, err = l.Link(w.ctx, seen(p))
	case n < 6:
		_, err = l.Refresh(w.ctx, p.ID, symbolon.FromSyncHook)
	case n < 8 && !w.OneColumn:
		h, lookErr := w.Store.Read(w.ctx, query(other))
		if err = lookErr; err == nil && h.Link != nil && h.Link.User != "" {
			_, err = l.Bind(w.ctx, p.ID, h.Link.User, symbolon.BindOptions{Move: n == 7})
		}
	case n == 9 && !w.OneColumn:
		return w.unite(l, p, other)
	case n == 8:
		h, lookErr := w.Store.Read(w.ctx, query(p))
		if err = lookErr; err == nil && h.Link != nil && h.Link.User != "" {
			w.InTx(func(tx symbolon.Execer) error { return w.Store.Forget(w.ctx, tx, "default", h.Link.User) })
		}
	}
	return err
}

// replay rebuilds an entry from its events.
func (w *world) replay(id symbolon.IdentityID) (link symbolon.Link) {
	for _, e := range w.record(string(id)).Events {
		if e.Identity != id {
			continue
		}
		switch e.Kind {
		case symbolon.UserLinked, symbolon.UserRecreated:
			link.State, link.User, link.Reason = symbolon.Linked, e.User, ""
		case symbolon.LinkHeld:
			link.State, link.Reason = symbolon.OnHold, e.Finding
		case symbolon.LinkMoved:
			if e.User != "" {
				link.State, link.User, link.Reason = symbolon.Also, e.User, ""
				continue
			}
			link.State, link.Reason = symbolon.OnHold, symbolon.Moved
			if link.User == "" {
				link.User = e.Before
			}
		case symbolon.UserForgotten:
			link.State, link.Reason = symbolon.Forgotten, ""
		}
	}
	return link
}
