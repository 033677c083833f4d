package symbolontest

import (
	"context"
	"fmt"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// plainApp is an application that creates its users itself. Each identity has one user
// until this user is deleted.
type plainApp struct {
	mu     sync.Mutex
	users  map[symbolon.IdentityID]symbolon.UserID
	serial int
	asked  int
	err    error // returned instead of a user
}

func (a *plainApp) Create(_ context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.err != nil {
		return "", a.err
	}
	if a.users == nil {
		a.users = map[symbolon.IdentityID]symbolon.UserID{}
	}
	if a.users[id.ID] == "" {
		a.serial++
		a.users[id.ID] = symbolon.UserID(fmt.Sprintf("app-%d", a.serial))
	}
	return a.users[id.ID], nil
}

func (a *plainApp) delete(user symbolon.UserID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, u := range a.users {
		if u == user {
			delete(a.users, id)
		}
	}
}

func (a *plainApp) say(id symbolon.IdentityID, user symbolon.UserID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users == nil {
		a.users = map[symbolon.IdentityID]symbolon.UserID{}
	}
	a.users[id] = user
}

func (a *plainApp) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// testApplication checks that a user that the application names is treated as a claim.
func testApplication(w *world) {
	if w.Store.NewID() != symbolon.ByApplication {
		w.Log("only for an application that makes its users itself")
		return
	}
	for _, part := range []func(*world){testApplicationIsAsked, testApplicationSaysNo, testApplicationRepeats,
		testApplicationAnswersDeleted, testApplicationIsTold} {
		part(w)
	}
}

func testApplicationIsAsked(w *world) {
	id := w.identity("")
	user := w.link(id).User
	w.link(id)
	same(w, "questions", w.app.asked, 1)
	same(w, "row", w.Users()[user], id.ID)

	// After a loss of the ledger all links are found again, and the metadata is
	// confirmed.
	id = w.claiming("app-9000")
	w.app.say(id.ID, "app-9000")
	same(w, "user", w.link(id).User, "app-9000")
	same(w, "findings", w.findings(id.ID), "")
	same(w, "back-reference", w.look(query(id)).Link.BackReference, "app-9000")
}

func testApplicationSaysNo(w *world) {
	id := w.identity("")
	users := len(w.Users())
	w.app.fail(fmt.Errorf("the application is closed: %w", symbolon.ErrUnavailable))
	_, err := w.linker.Link(w.ctx, seen(id))
	w.wantErr(err, symbolon.ErrUnavailable)
	w.unheard(id)
	w.app.fail(fmt.Errorf("it answered 422: %w", symbolon.ErrCannotCreate))
	for range 2 {
		_, err = w.linker.Link(w.ctx, seen(id))
		w.wantErr(err, symbolon.ErrCannotCreate)
	}
	same(w, "history", w.events(id.ID), "link.held finding.opened")
	same(w, "findings", w.findings(id.ID), "cannot_create")
	same(w, "users", len(w.Users()), users)
	w.app.fail(nil)
	w.link(id)
	same(w, "findings", w.findings(id.ID), "")
}

// testApplicationRepeats checks that no identity gets the user of another identity.
func testApplicationRepeats(w *world) {
	first, second := w.identity(""), w.identity("")
	user := w.link(first).User
	w.app.say(second.ID, user)
	_, err := w.linker.Link(w.ctx, seen(second))
	w.wantErr(err, symbolon.ErrCannotCreate)
	same(w, "findings", w.findings(second.ID), "claimed_by_other")
	same(w, "the first", w.link(first).User, user)
	w.app.say(second.ID, "app-mended")
	same(w, "the second", w.link(second).User, "app-mended")

	// Of concurrent calls exactly one gets the user.
	crowd := make([]symbolon.Identity, 8)
	for i := range crowd {
		crowd[i] = w.identity("")
		w.app.say(crowd[i].ID, "app-crowd")
	}
	var wg sync.WaitGroup
	errs := make([]error, len(crowd))
	for i, id := range crowd {
		wg.Go(func() { _, errs[i] = w.linker.Link(w.ctx, seen(id)) })
	}
	wg.Wait()
	linked := 0
	for _, err := range errs {
		if err == nil {
			linked++
			continue
		}
		w.wantErr(err, symbolon.ErrCannotCreate)
	}
	same(w, "identities with the one user", linked, 1)
}

func testApplicationAnswersDeleted(w *world) {
	id := w.identity("")
	user := w.link(id).User
	w.linker.OnUserDeleted = link.RecreateDeleted
	w.forget(user)
	_, err := w.linker.Link(w.ctx, seen(id))
	w.wantErr(err, symbolon.ErrCannotCreate)
	same(w, "state", w.look(query(id)).Link.State, symbolon.Forgotten)
	w.app.delete(user)
	if after := w.link(id).User; after == user {
		w.Fatal("a deleted user's ID was given out again")
	}
	w.linker.OnUserDeleted = link.DenyDeleted
}

// testApplicationIsTold checks that a voucher and the operator may name users that the
// store does not know.
func testApplicationIsTold(w *world) {
	asked := w.app.asked
	voucher, err := w.minter.Voucher("invited")
	w.must(err)
	id := w.identity("")
	id.MetadataAdmin = fmt.Appendf(nil, `{"symbolon":{"user":%q,"proof":%q}}`, voucher.User, voucher.Proof)
	w.ory.put(id)
	link, err := w.linker.Refresh(w.ctx, id.ID, symbolon.FromLinkHook)
	w.must(err)
	same(w, "user", link.User, "invited")

	other := w.identity("")
	link, err = w.linker.Bind(w.ctx, other.ID, "by hand", symbolon.BindOptions{})
	w.must(err)
	same(w, "user", link.User, "by hand")
	same(w, "row", w.Users()["by hand"], other.ID)
	_, err = w.linker.Bind(w.ctx, id.ID, "by hand", symbolon.BindOptions{})
	w.wantErr(err, symbolon.ErrConflict)
	for _, bad := range []symbolon.UserID{"", "a\x00b", "\ufffd"} {
		_, err = w.linker.Bind(w.ctx, w.identity("").ID, bad, symbolon.BindOptions{})
		w.wantErr(err, symbolon.ErrNotFound)
	}
	same(w, "questions", w.app.asked, asked)

	// The user "invited" lost its identity by the move. The application alone cannot give
	// it to another identity.
	link, err = w.linker.Bind(w.ctx, id.ID, "somebody else", symbolon.BindOptions{Move: true})
	w.must(err)
	same(w, "user", link.User, "somebody else")
	late := w.identity("")
	w.app.say(late.ID, "invited")
	_, err = w.linker.Link(w.ctx, seen(late))
	w.wantErr(err, symbolon.ErrCannotCreate)
	_, err = w.linker.Bind(w.ctx, late.ID, "invited", symbolon.BindOptions{})
	w.must(err)
}
