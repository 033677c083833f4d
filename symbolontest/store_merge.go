package symbolontest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// also makes an identity a further one of a user.
func (w *world) also(id symbolon.Identity, user symbolon.UserID) symbolon.Link {
	w.Helper()
	bond, err := w.linker.Bind(w.ctx, id.ID, user, symbolon.BindOptions{Also: true})
	w.must(err)
	return bond
}

// signsIn checks that an identity signs in as a user.
func (w *world) signsIn(id symbolon.Identity, user symbolon.UserID) {
	w.Helper()
	for _, find := range []func() (symbolon.Link, error){
		func() (symbolon.Link, error) { return w.linker.Link(w.ctx, seen(id)) },
		func() (symbolon.Link, error) { return w.linker.Lookup(w.ctx, id.ID) },
		func() (symbolon.Link, error) { return w.linker.Refresh(w.ctx, id.ID, symbolon.FromSyncHook) },
	} {
		l, err := find()
		w.must(err)
		same(w, "user", l.User, user)
		same(w, "identity", l.Identity, id.ID)
	}
}

// testFurther checks that a further identity signs in as the user, and that nothing of it
// reaches the row.
func testFurther(w *world) {
	first, second := w.identity("first@example.com"), w.identity("second@example.com")
	user := w.link(first).User
	bond := w.also(second, user)
	same(w, "state", bond.State, symbolon.Also)
	same(w, "again", w.also(second, user), bond)
	w.signsIn(second, user)
	w.signsIn(first, user)
	same(w, "rows", len(w.Users()), 1)
	same(w, "the row's identity", w.Users()[user], first.ID)
	same(w, "history", w.events(second.ID), "user.linked link.moved") // of the identity and of its user
	for _, id := range []string{string(user), string(first.ID), string(second.ID)} {
		rec := w.record(id)
		if len(rec.Also) != 1 || rec.Also[0] != bond || rec.Row == nil || rec.Row.ID != user {
			w.Fatalf("record of %s: %+v", id, rec)
		}
	}
	ids, err := w.linker.Identities(w.ctx, string(second.ID))
	if w.must(err); !slices.Equal(ids, []symbolon.IdentityID{first.ID, second.ID}) {
		w.Fatalf("identities: %v", ids)
	}

	second.State, second.Traits = symbolon.Inactive, []byte(`{"email":"third@example.com"}`)
	w.ory.put(second)
	w.signsIn(second, user)
	if w.Email != nil {
		same(w, "e-mail", w.Email(user), "first@example.com")
	}
	w.linker.OnIdentityDeleted = symbolon.DeleteRow
	w.ory.remove(second.ID)
	link, err := w.linker.EndGone(w.ctx, w.prove(second.ID)[0])
	w.must(err)
	same(w, "state", link.State, symbolon.Gone)
	same(w, "rows after its end", len(w.Users()), 1)
	w.signsIn(first, user)
	w.ory.put(second)
	w.hear(second, symbolon.ErrOnHold)

	third := w.identity("")
	w.also(third, user)
	link, err = w.linker.Unlink(w.ctx, third.ID, "ticket 1")
	w.must(err)
	same(w, "unlinked", link.State, symbolon.OnHold)
	_, err = w.linker.Unlink(w.ctx, third.ID, "ticket 1")
	w.must(err)
	w.hear(third, symbolon.ErrOnHold)
	same(w, "findings", w.findings(third.ID), "moved")
	if !w.OneColumn {
		w.link(w.boundNew(third))
	}
	w.signsIn(first, user)
}

// boundNew gives an identity a new user.
func (w *world) boundNew(id symbolon.Identity) symbolon.Identity {
	w.Helper()
	_, err := w.linker.BindNew(w.ctx, id.ID, "")
	w.must(err)
	return id
}

// testFurtherRefused checks who cannot be a further identity, and of whom.
func testFurtherRefused(w *world) {
	first, second, free := w.identity(""), w.identity(""), w.identity("")
	user, other := w.link(first).User, w.link(second).User
	refused := func(what string, id symbolon.IdentityID, user symbolon.UserID, want error) {
		w.Helper()
		if _, err := w.linker.Bind(w.ctx, id, user, symbolon.BindOptions{Also: true}); !errors.Is(err, want) {
			w.Errorf("%s: %v", what, err)
		}
	}
	refused("the primary identity", first.ID, user, symbolon.ErrConflict)
	refused("an identity with a user", second.ID, user, symbolon.ErrConflict)
	refused("an unknown identity", newIdentityID(), user, symbolon.ErrNotFound)
	_, err := w.linker.Unlink(w.ctx, first.ID, "")
	w.wantErr(err, symbolon.ErrConflict)
	_, err = w.linker.Unlink(w.ctx, newIdentityID(), "")
	w.wantErr(err, symbolon.ErrNotFound)

	banned := free
	banned.State = symbolon.Inactive
	w.ory.put(banned)
	refused("an inactive identity", free.ID, user, symbolon.ErrConflict)
	w.ory.put(free)
	banned = first
	banned.State = symbolon.Inactive
	w.ory.put(banned)
	refused("of an inactive primary identity", free.ID, user, symbolon.ErrConflict)
	w.ory.remove(first.ID)
	refused("of a deleted primary identity", free.ID, user, symbolon.ErrConflict)
	w.ory.put(first)
	w.unheard(free)
	_, err = w.linker.Erase(w.ctx, first.ID, "", "")
	w.must(err)
	refused("of an erased user", free.ID, user, symbolon.ErrConflict)
	refused("an erased identity", first.ID, other, symbolon.ErrConflict)
	w.also(free, other)
	refused("the user of a further identity again", free.ID, user, symbolon.ErrConflict)
	if w.OneColumn {
		return
	}
	alone := w.InsertUser("")
	refused("of a user without an identity", w.identity("").ID, alone, symbolon.ErrConflict)
	third := w.link(w.identity("")).User
	refused("a further identity of another user", free.ID, third, symbolon.ErrConflict)
	_, err = w.linker.Bind(w.ctx, free.ID, third, symbolon.BindOptions{Also: true, Move: true})
	w.must(err)
	w.signsIn(free, third)
}

// testFurtherUserEnds checks that a further identity never gets a user of its own.
func testFurtherUserEnds(w *world) {
	if w.OneColumn {
		return
	}
	first, second := w.identity(""), w.identity("")
	user := w.link(first).User
	w.also(second, user)
	w.InTx(func(tx symbolon.Execer) error { return w.Store.Forget(w.ctx, tx, "default", user) })
	w.hear(second, symbolon.ErrUserGone)
	w.DeleteUser(user)
	w.linker.OnUserDeleted = link.RecreateDeleted
	w.hear(second, symbolon.ErrUserGone)
	same(w, "rows", len(w.Users()), 0)
	if n := w.Store.NewID(); n == symbolon.ByIdentity || n == symbolon.ByApplication {
		return // the first identity gets no other user
	}
	next := w.link(first).User
	w.signsIn(second, next)
	same(w, "rows", len(w.Users()), 1)

	w.SetIdentity(next, "")
	w.hear(second, symbolon.ErrUserGone)
	w.SetIdentity(next, second.ID) // the application contradicts the ledger
	w.hear(second, symbolon.ErrOnHold)
	w.SetIdentity(next, first.ID)
	w.signsIn(second, next)

	link, err := w.linker.Bind(w.ctx, second.ID, next, symbolon.BindOptions{Move: true}) // the further identity becomes the primary one
	w.must(err)
	same(w, "state", link.State, symbolon.Linked)
	w.hear(first, symbolon.ErrOnHold)
	w.also(first, next)
	w.signsIn(first, next)
	w.signsIn(second, next)
}

// merges reports whether the store can merge users. It checks that any other store refuses.
func (w *world) merges() bool {
	w.Helper()
	if !w.OneColumn && w.Store.NewID() != symbolon.ByApplication {
		return true
	}
	first, second := w.identity(""), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	_, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{})
	w.wantErr(err, symbolon.ErrConflict)
	w.signsIn(first, into)
	w.signsIn(second, from)
	return false
}

// testMerge checks that a user ends with a merge, and exists again after its undo.
func testMerge(w *world) {
	if !w.merges() {
		return
	}
	first, second, third := w.identity("first@example.com"), w.identity("second@example.com"), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	w.also(third, from)
	plan, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{DryRun: true})
	w.must(err)
	if plan.Identity != second.ID || plan.Primary != first.ID || !slices.Equal(plan.Further, []symbolon.IdentityID{third.ID}) {
		w.Fatalf("dry run: %+v", plan)
	}
	w.signsIn(second, from)
	for n := range 2 {
		m, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{Why: "ticket 1"})
		w.must(err)
		same(w, "done before", m.Done, n == 1)
	}
	for _, id := range []symbolon.Identity{first, second, third} {
		w.signsIn(id, into)
	}
	same(w, "rows", len(w.Users()), 2)
	same(w, "the row of the ended user", w.Users()[from], "")
	same(w, "retired", w.look(query(w.identity(""), from)).Claims[0].Retired, true)
	if rec := w.record(string(from)); rec.MergedInto != into || rec.MergedBy != second.ID {
		w.Fatalf("record: %+v", rec)
	}
	if voucher, err := w.minter.Voucher(from); err != nil {
		w.Fatal(err)
	} else if _, err := w.linker.Bind(w.ctx, w.identity("").ID, voucher.User, symbolon.BindOptions{Move: true}); !errors.Is(err, symbolon.ErrConflict) {
		w.Fatalf("the ended user was given to somebody: %v", err)
	}
	if w.Email != nil {
		same(w, "e-mail", w.Email(into), "first@example.com")
	}

	for range 2 {
		_, err = w.linker.Unmerge(w.ctx, from, link.MergeOptions{})
	}
	w.wantErr(err, symbolon.ErrConflict) // the second undo finds no merge
	w.signsIn(first, into)
	w.signsIn(second, from)
	w.signsIn(third, from)
	same(w, "the row again", w.Users()[from], second.ID)
	if w.Email != nil {
		same(w, "e-mail", w.Email(from), "second@example.com")
	}
	_, err = w.linker.Merge(w.ctx, into, from, link.MergeOptions{}) // the other way round
	w.must(err)
	w.signsIn(first, from)
	w.checkHistory([]symbolon.Identity{first, second, third})
}

// testMergeOfMoved merges users that were moved to other identities. If users have the IDs of
// identities, the ID of such a user is that of another person's identity.
func testMergeOfMoved(w *world) {
	if w.OneColumn || w.Store.NewID() == symbolon.ByApplication {
		return
	}
	first, second := w.identity(""), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	for _, user := range []symbolon.UserID{into, from} {
		first, second = second, first
		_, err := w.linker.Bind(w.ctx, first.ID, user, symbolon.BindOptions{Move: true})
		w.must(err)
	}
	third := w.identity("")
	w.also(third, into)
	m, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{})
	w.must(err)
	same(w, "identity", m.Identity, first.ID)
	same(w, "primary", m.Primary, second.ID)
	for _, id := range []symbolon.Identity{first, second, third} {
		w.signsIn(id, into)
	}
	_, err = w.linker.Unmerge(w.ctx, from, link.MergeOptions{})
	w.must(err)
	w.signsIn(first, from)
}

// testUndoLeavesOrders checks that the undo of a merge takes no identity away that an order gave
// to the user before the merge or after it.
func testUndoLeavesOrders(w *world) {
	if w.OneColumn || w.Store.NewID() == symbolon.ByApplication {
		return
	}
	first, second, before, after := w.identity(""), w.identity(""), w.identity(""), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	w.also(before, from)
	w.also(after, from)
	_, err := w.linker.Bind(w.ctx, before.ID, into, symbolon.BindOptions{Also: true, Move: true})
	w.must(err)
	_, err = w.linker.Merge(w.ctx, from, into, link.MergeOptions{})
	w.must(err)
	_, err = w.linker.Unlink(w.ctx, after.ID, "")
	w.must(err)
	w.also(after, into)
	_, err = w.linker.Unmerge(w.ctx, from, link.MergeOptions{})
	w.must(err)
	w.signsIn(second, from)
	for _, id := range []symbolon.Identity{first, before, after} {
		w.signsIn(id, into)
	}
}

// testMergeRefused checks that a merge with a wrong side changes nothing.
func testMergeRefused(w *world) {
	if w.OneColumn || w.Store.NewID() == symbolon.ByApplication {
		return
	}
	first, second := w.identity(""), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	refused := func(what string, from, into symbolon.UserID, want error) {
		w.Helper()
		for _, dry := range []bool{true, false} {
			if _, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{DryRun: dry}); !errors.Is(err, want) {
				w.Errorf("%s: %v", what, err)
			}
		}
	}
	refused("into itself", from, from, symbolon.ErrConflict)
	refused("into nobody", from, "999999", symbolon.ErrNotFound)
	refused("of nobody", "999999", into, symbolon.ErrNotFound)
	alone := w.InsertUser("")
	refused("into a user without an identity", from, alone, symbolon.ErrConflict)
	refused("of a user without an identity", alone, into, symbolon.ErrConflict)
	for _, side := range []symbolon.Identity{first, second} {
		banned := side
		banned.State = symbolon.Inactive
		w.ory.put(banned)
		refused("with an inactive identity", from, into, symbolon.ErrConflict)
		w.ory.put(side)
	}
	w.SetIdentity(into, "")
	refused("into a user whose row lost its identity", from, into, symbolon.ErrConflict)
	w.SetIdentity(into, first.ID)
	_, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{Why: "a@b.example"})
	w.wantErr(err, link.ErrWhy)
	w.signsIn(first, into)
	w.signsIn(second, from)
	_, err = w.linker.Unmerge(w.ctx, from, link.MergeOptions{})
	w.wantErr(err, symbolon.ErrConflict)

	third := w.identity("")
	next := w.link(third).User
	_, err = w.linker.Merge(w.ctx, from, into, link.MergeOptions{})
	w.must(err)
	refused("of a merged user", from, next, symbolon.ErrConflict)
	refused("into a merged user", next, from, symbolon.ErrConflict)
	_, err = w.linker.Unlink(w.ctx, second.ID, "")
	w.must(err)
	_, err = w.linker.Unmerge(w.ctx, from, link.MergeOptions{})
	w.wantErr(err, symbolon.ErrConflict)
}

// testMergeRaces runs a merge beside operations on the same people. In every order each identity
// signs in as one of the two users or not at all, and each user has at most one primary identity.
func testMergeRaces(w *world) {
	if w.OneColumn || w.Store.NewID() == symbolon.ByApplication {
		return
	}
	for name, beside := range map[string]func(first, second symbolon.Identity, into, from symbolon.UserID) error{
		"the same merge": func(_, _ symbolon.Identity, into, from symbolon.UserID) error {
			_, err := w.linker.Merge(w.ctx, from, into, link.MergeOptions{})
			return err
		},
		"the opposite merge": func(_, _ symbolon.Identity, into, from symbolon.UserID) error {
			_, err := w.linker.Merge(w.ctx, into, from, link.MergeOptions{})
			return err
		},
		"a sign-in": func(first, second symbolon.Identity, _, _ symbolon.UserID) error {
			_, err := w.linker.Refresh(w.ctx, second.ID, symbolon.FromSyncHook)
			_, err2 := w.linker.Refresh(w.ctx, first.ID, symbolon.FromSyncHook)
			return errors.Join(err, err2)
		},
		"an erasure": func(_, second symbolon.Identity, _, _ symbolon.UserID) error {
			_, err := w.linker.Erase(w.ctx, second.ID, symbolon.AnonymiseRow, "")
			return err
		},
		"an erasure of the other": func(first, _ symbolon.Identity, _, _ symbolon.UserID) error {
			_, err := w.linker.Erase(w.ctx, first.ID, symbolon.AnonymiseRow, "")
			return err
		},
		"a move": func(first, second symbolon.Identity, into, from symbolon.UserID) error { // puts an identity on hold
			_, err := w.linker.Bind(w.ctx, w.identity("").ID, from, symbolon.BindOptions{Move: true})
			return err
		},
		"a deletion": func(_, _ symbolon.Identity, into, _ symbolon.UserID) error {
			w.InTx(func(tx symbolon.Execer) error { return w.Store.Forget(w.ctx, tx, "default", into) })
			return nil
		},
	} {
		w.raceMerge(name, beside)
	}
}

func (w *world) raceMerge(name string, beside func(first, second symbolon.Identity, into, from symbolon.UserID) error) {
	w.Helper()
	first, second := w.identity(""), w.identity("")
	into, from := w.link(first).User, w.link(second).User
	var wg sync.WaitGroup
	var merged, other error
	wg.Go(func() { _, merged = w.linker.Merge(w.ctx, from, into, link.MergeOptions{}) })
	wg.Go(func() { other = beside(first, second, into, from) })
	wg.Wait()
	for _, err := range []error{merged, other} {
		if errors.Is(err, symbolon.ErrUnavailable) {
			w.Errorf("%s: %v", name, err)
		}
	}
	linked := map[symbolon.UserID]symbolon.IdentityID{}
	for _, id := range []symbolon.Identity{first, second} {
		l, err := w.linker.Link(w.ctx, seen(id))
		if err == nil && l.User != into && l.User != from {
			w.Errorf("%s: identity %s signs in as %s", name, id.ID, l.User)
		}
		if e := w.look(query(id)).Link; e.State == symbolon.Linked {
			if linked[e.User] != "" {
				w.Errorf("%s: user %s has two primary identities", name, e.User)
			}
			linked[e.User] = id.ID
		}
		if _, denied := errors.AsType[*symbolon.DenyError](err); err != nil && !denied {
			w.Errorf("%s: %v", name, err)
		}
	}
	if rec := w.record(string(from)); merged == nil && name != "a move" && (rec.MergedInto == "" && w.record(string(into)).MergedInto == "") {
		w.Errorf("%s: the merge was answered, and there is none", name)
	}
	w.checkHistory(withoutErased(w, first, second))
}

// withoutErased leaves out erased identities, which no history of links rebuilds.
func withoutErased(w *world, ids ...symbolon.Identity) []symbolon.Identity {
	return slices.DeleteFunc(ids, func(id symbolon.Identity) bool { return w.look(query(id)).Link.State == symbolon.Erased })
}

// unite makes an identity a further one of another's user, merges the users of the two, or takes
// a further identity away again.
func (w *world) unite(l *link.Linker, p, other symbolon.Identity) error {
	one, err := w.Store.Read(w.ctx, query(p))
	if err != nil {
		return err
	}
	two, err := w.Store.Read(w.ctx, query(other))
	if err != nil || one.Link == nil || two.Link == nil || two.Link.User == "" {
		return err
	}
	switch one.Link.State {
	case symbolon.Linked:
		_, err = l.Merge(w.ctx, one.Link.User, two.Link.User, link.MergeOptions{})
	case symbolon.Also:
		if _, err = l.Unlink(w.ctx, p.ID, ""); err == nil {
			_, err = l.Bind(w.ctx, p.ID, two.Link.User, symbolon.BindOptions{Also: true})
		}
	default:
		_, err = l.Bind(w.ctx, p.ID, two.Link.User, symbolon.BindOptions{Also: true})
	}
	if err != nil {
		err = fmt.Errorf("unite %s and %s: %w", p.ID, other.ID, err)
	}
	return err
}
