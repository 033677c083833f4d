package symbolontest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// adoption creates an identity and a user that belong together: the row's identity column
// names the identity, or the identity's external_id names the user.
func (w *world) adoption(column bool) (symbolon.Identity, symbolon.Adoption) {
	w.Helper()
	id := w.identity("ada@example.com")
	a := symbolon.Adoption{Identity: id.ID, By: symbolon.ByIdentityColumn, Run: "suite-1"}
	if column {
		a.User = w.InsertUser(id.ID)
		return id, a
	}
	a.User, a.By = w.InsertUser(""), symbolon.ByExternalID
	id.ExternalID = string(a.User)
	w.ory.put(id)
	return id, a
}

// testAdopt checks that an adoption links once and writes only the identity column of the
// row. An undo leaves only events.
func testAdopt(w *world) {
	for _, column := range []bool{true, false} {
		if w.OneColumn && !column {
			continue
		}
		id, a := w.adoption(column)
		before := w.Users()[a.User]
		link, made, err := w.linker.Adopt(w.ctx, a)
		w.must(err)
		if !made || link.User != a.User || link.State != symbolon.Linked || link.Source != symbolon.FromAdopt || link.Ticket != 0 {
			w.Fatalf("not adopted: %v %+v", made, link)
		}
		same(w, "the row's identity", w.Users()[a.User], id.ID)
		if w.Email != nil {
			same(w, "the application's e-mail", w.Email(a.User), "")
		}
		_, made, err = w.linker.Adopt(w.ctx, a)
		w.must(err)
		same(w, "made again", made, false)
		same(w, "history", w.events(id.ID), "user.linked")
		same(w, "the answer", w.link(id).User, a.User)

		event := w.record(string(id.ID)).Events[0]
		if event.Run != a.Run || event.Adopted == nil || *event.Adopted != (symbolon.AdoptedBond{By: a.By, ColumnSet: !column}) {
			w.Fatalf("event: %+v %+v", event, event.Adopted)
		}
		if _, err := w.linker.Unadopt(w.ctx, "suite-2", event); err == nil {
			w.Fatal("the undo of another run undid the link")
		}
		event.Detail = "a sentence is for people"
		undone, err := w.linker.Unadopt(w.ctx, a.Run, event)
		w.must(err)
		same(w, "undone", undone, true)
		same(w, "the row's identity", w.Users()[a.User], before)
		h := w.look(query(id))
		held := h.Link != nil && h.Link.State == symbolon.OnHold && h.Link.Reason == symbolon.AdoptAmbiguous && h.Link.User == ""
		if held == column || column && h.Link != nil || (h.Row != nil) != column {
			w.Fatalf("neither undone nor kept from a second user: %+v", h)
		}
		history := "user.linked user.unlinked"
		if held {
			history += " link.held finding.opened"
		}
		same(w, "history", w.events(id.ID), history)
		last := w.record(string(id.ID)).Events[1]
		if last.Before != a.User || last.User != "" || last.Source != symbolon.FromAdopt || last.Run != a.Run || last.Adopted != nil {
			w.Fatalf("event: %+v", last)
		}
		undone, err = w.linker.Unadopt(w.ctx, a.Run, event)
		w.must(err)
		same(w, "undone again", undone, false)
		_, made, err = w.linker.Adopt(w.ctx, a)
		w.must(err)
		same(w, "adopted again", made, true)
		_, err = w.linker.Unadopt(w.ctx, a.Run, event) // the event of the first adoption
		w.wantErr(err, symbolon.ErrConflict)
	}
}

// testAdoptHeld checks that the undo restores a hold with its finding.
func testAdoptHeld(w *world) {
	if w.OneColumn {
		return
	}
	id, a := w.adoption(false)
	_, err := w.write(query(id), symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.RecreatedIdentity,
		Findings: []symbolon.Finding{{Kind: symbolon.RecreatedIdentity}}})
	w.must(err)
	_, made, err := w.linker.Adopt(w.ctx, a)
	w.must(err)
	same(w, "made", made, true)
	same(w, "findings", w.findings(id.ID), "")
	var event symbolon.Event
	for _, e := range w.record(string(id.ID)).Events {
		if e.Kind == symbolon.UserLinked {
			event = e
		}
		if adopted := e.Source == symbolon.FromAdopt; adopted != (e.Run == a.Run) {
			w.Fatalf("wrong run in %+v", e)
		}
	}
	if event.Adopted == nil || *event.Adopted != (symbolon.AdoptedBond{By: a.By, ColumnSet: true, WasOnHold: symbolon.RecreatedIdentity}) {
		w.Fatalf("event: %+v %+v", event, event.Adopted)
	}
	event.Detail = ""
	undone, err := w.linker.Unadopt(w.ctx, a.Run, event)
	w.must(err)
	same(w, "undone", undone, true)
	h := w.look(query(id))
	if h.Link == nil || h.Link.State != symbolon.OnHold || h.Link.Reason != symbolon.RecreatedIdentity || h.Link.User != "" || h.Row != nil {
		w.Fatalf("not on hold as before: %+v", h.Link)
	}
	same(w, "findings", w.findings(id.ID), "recreated_identity")
	undone, err = w.linker.Unadopt(w.ctx, a.Run, event)
	w.must(err)
	same(w, "undone again", undone, false)
}

// testAdoptRefuses checks that an obstacle is a conflict and nothing is changed.
func testAdoptRefuses(w *world) {
	if w.OneColumn {
		return
	}
	_, missing := w.adoption(false)
	_, retired := w.adoption(false)
	w.forget(retired.User)
	_, owned := w.adoption(false)
	w.SetIdentity(owned.User, newIdentityID())
	bound, twice := w.adoption(false)
	w.link(bound)
	forgotten, gone := w.adoption(false)
	w.forget(w.link(forgotten).User)
	silent, unsaid := w.adoption(false)
	silent.ExternalID = ""
	w.ory.put(silent)
	_, nobody := w.adoption(false)
	w.ory.remove(nobody.Identity)
	w.DeleteUser(missing.User) // deleted last, because SQLite may give the ID to a new row
	rows := w.Users()
	for _, tt := range []struct {
		name string
		a    symbolon.Adoption
		want error
	}{
		{"the row is missing", missing, symbolon.ErrNotFound}, {"the ID was retired", retired, symbolon.ErrConflict},
		{"the user has another identity", owned, symbolon.ErrConflict}, {"the identity has another user", twice, symbolon.ErrConflict},
		{"its user was deleted", gone, symbolon.ErrConflict}, {"it names nobody", unsaid, symbolon.ErrConflict},
		{"the identity is gone", nobody, symbolon.ErrNotFound},
	} {
		if _, made, err := w.linker.Adopt(w.ctx, tt.a); made || !errors.Is(err, tt.want) {
			w.Fatalf("%s: %v %v", tt.name, made, err)
		}
	}
	for user, identity := range w.Users() {
		same(w, "row "+string(user), identity, rows[user])
	}
	if _, _, err := w.linker.Adopt(w.ctx, symbolon.Adoption{Identity: silent.ID, User: unsaid.User, By: symbolon.ByExternalID, Run: "a%b"}); err == nil {
		w.Fatal("an invalid run name was accepted")
	}
}

// testAdoptRaces adopts many identities to one user while requests arrive. One identity
// gets the user, and each of the others gets at most one user of its own.
func testAdoptRaces(w *world) {
	if w.OneColumn {
		return
	}
	linkers := []*link.Linker{w.linker, w.newLinker(w.Again())}
	for round := range 2 {
		user := w.InsertUser("")
		var winners atomic.Int32
		var wg sync.WaitGroup
		ids := make([]symbolon.Identity, 8)
		for i := range ids {
			ids[i] = w.identity("")
			ids[i].ExternalID = string(user)
			w.ory.put(ids[i])
		}
		for i, id := range ids {
			wg.Go(func() {
				_, made, err := linkers[i%2].Adopt(w.ctx, symbolon.Adoption{Identity: id.ID, User: user, By: symbolon.ByExternalID, Run: fmt.Sprintf("r%d", round)})
				if made {
					winners.Add(1)
				} else if err != nil && !errors.Is(err, symbolon.ErrConflict) {
					w.Errorf("adopt: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := linkers[(i+1)%2].Link(w.ctx, symbolon.Reading{Identity: symbolon.Identity{ID: id.ID}, Source: symbolon.FromRequest, Admin: true}); err != nil {
					w.Errorf("link: %v", err)
				}
			})
		}
		wg.Wait()
		owners := 0
		for _, id := range ids {
			if w.link(id).User == user {
				owners++
			}
		}
		if int(winners.Load()) != owners || owners > 1 {
			w.Fatalf("%d won, %d have the user", winners.Load(), owners)
		}
	}
}
