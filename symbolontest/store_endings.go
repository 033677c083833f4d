package symbolontest

import (
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// prove returns proofs that identities are gone, with a short pause between the checks.
func (w *world) prove(ids ...symbolon.IdentityID) []link.GoneProof {
	w.Helper()
	w.linker.ProofGap = time.Millisecond
	control := w.identity("")
	proofs, err := w.linker.ProveGone(w.ctx, ids, control.ID)
	w.must(err)
	return proofs
}

// hear repeats every reading that may still arrive for an identity that is over. None of
// them may make, give or change anything.
func (w *world) hear(id symbolon.Identity, want error) {
	w.Helper()
	users := len(w.Users())
	for range 2 {
		for _, way := range []symbolon.Source{symbolon.FromRequest, symbolon.FromLinkHook, symbolon.FromSyncHook} {
			_, err := w.linker.Link(w.ctx, symbolon.Reading{Identity: id, Source: way})
			w.wantErr(err, want)
		}
	}
	same(w, "users", len(w.Users()), users)
}

func testBuried(w *world) {
	gone, stays := w.identity("gone@example.org"), w.identity("stays@example.org")
	user := w.link(gone).User
	w.link(stays)
	w.linker.OnIdentityDeleted = symbolon.KeepRow

	same(w, "proofs of the living", len(w.prove(gone.ID, stays.ID)), 0)
	w.ory.remove(gone.ID)
	proofs := w.prove(gone.ID, stays.ID)
	if len(proofs) != 1 || proofs[0].Identity() != gone.ID {
		w.Fatalf("proofs: %v", proofs)
	}
	_, err := w.linker.EndGone(w.ctx, link.GoneProof{})
	if err == nil {
		w.Fatal("EndGone accepted an empty proof")
	}
	for range 2 {
		link, err := w.linker.EndGone(w.ctx, proofs[0])
		w.must(err)
		same(w, "state", link.State, symbolon.Gone)
		same(w, "user", link.User, user)
	}
	same(w, "history", w.events(gone.ID), "user.linked identity.gone")
	same(w, "findings", w.findings(gone.ID), "")
	same(w, "rows", w.Users()[user], gone.ID)
	w.hear(gone, symbolon.ErrNotFound)
	if next := w.link(w.identity("gone@example.org")).User; next == user {
		w.Fatal("a new identity with the same address got the user of the deleted identity")
	}
	thief := w.claiming(string(user))
	_, err = w.linker.Link(w.ctx, seen(thief))
	w.wantErr(err, symbolon.ErrOnHold)

	// After the restore of a backup Ory has the identity again. Only the operator can
	// settle this.
	w.ory.put(gone)
	w.hear(gone, symbolon.ErrOnHold)
	same(w, "findings", w.findings(gone.ID), "identity_returned")
	link, err := w.linker.Bind(w.ctx, gone.ID, user, symbolon.BindOptions{})
	w.must(err)
	same(w, "bound again", link.State, symbolon.Linked)
	same(w, "findings", w.findings(gone.ID), "")
}

// testBuriedUnheard checks that late readings of an identity that was never linked make
// no user.
func testBuriedUnheard(w *world) {
	id := w.identity("")
	w.ory.remove(id.ID)
	link, err := w.linker.EndGone(w.ctx, w.prove(id.ID)[0])
	w.must(err)
	same(w, "state", link.State, symbolon.Gone)
	same(w, "user", link.User, "")
	w.hear(id, symbolon.ErrNotFound)
	same(w, "rows", len(w.Users()), 0)
}

// testBuriedRow checks that the row is deleted and its ID retired. If the application
// gave the row to another identity, it is not deleted.
func testBuriedRow(w *world) {
	w.linker.OnIdentityDeleted = symbolon.DeleteRow
	gone := w.identity("")
	user := w.link(gone).User
	w.ory.remove(gone.ID)
	proof := w.prove(gone.ID)[0]
	for range 2 {
		_, err := w.linker.EndGone(w.ctx, proof)
		w.must(err)
	}
	same(w, "rows", len(w.Users()), 0)
	same(w, "retired", w.look(query(w.identity(""), user)).Claims[0].Retired, true)
	same(w, "history", w.events(gone.ID), "user.linked identity.gone")
	if got := w.link(w.claiming(string(user))).User; got == user {
		w.Fatal("a retired ID was given out again")
	}
	if w.OneColumn {
		return
	}
	gone = w.identity("")
	user = w.link(gone).User
	w.ory.remove(gone.ID)
	w.SetIdentity(user, newIdentityID())
	_, err := w.linker.EndGone(w.ctx, w.prove(gone.ID)[0])
	w.must(err)
	if _, ok := w.Users()[user]; !ok {
		w.Fatal("a row that holds another identity was deleted")
	}
	same(w, "retired", w.look(query(w.identity(""), user)).Claims[0].Retired, false)
}

func testProofNeedsControl(w *world) {
	w.linker.ProofGap = time.Millisecond
	id := w.identity("")
	w.link(id)
	w.ory.remove(id.ID)
	_, err := w.linker.ProveGone(w.ctx, []symbolon.IdentityID{id.ID}, newIdentityID())
	w.wantErr(err, symbolon.ErrUnavailable)
	same(w, "state", w.look(query(id)).Link.State, symbolon.Linked)
}

func testErased(w *world) {
	id := w.identity("e@example.org")
	user := w.link(id).User
	for range 2 {
		link, err := w.linker.Erase(w.ctx, id.ID, "", "asked for by letter")
		w.must(err)
		same(w, "state", link.State, symbolon.Erased)
	}
	same(w, "history", w.events(id.ID), "user.linked user.erased")
	same(w, "the row stays for now", len(w.Users()), 1)
	same(w, "retired", w.look(query(w.identity(""), user)).Claims[0].Retired, true)
	w.hear(id, symbolon.ErrUserGone)
	if !w.OneColumn {
		_, err := w.linker.Bind(w.ctx, id.ID, w.InsertUser(""), symbolon.BindOptions{Move: true})
		w.wantErr(err, symbolon.ErrConflict)
	}

	link, err := w.linker.Erase(w.ctx, id.ID, symbolon.DeleteRow, "asked for by letter")
	w.must(err)
	same(w, "state", link.State, symbolon.Erased)
	if _, ok := w.Users()[user]; ok {
		w.Fatal("the row still exists")
	}
	w.ory.remove(id.ID)
	link, err = w.linker.EndGone(w.ctx, w.prove(id.ID)[0])
	w.must(err)
	same(w, "what was erased stays so", link.State, symbolon.Erased)
	_, err = w.linker.Bind(w.ctx, id.ID, user, symbolon.BindOptions{Move: true}) // the ledger knows why Ory has no such identity
	w.wantErr(err, symbolon.ErrConflict)
	w.hear(id, symbolon.ErrUserGone)
	same(w, "history", w.events(id.ID), "user.linked user.erased user.erased")
}

func testRebind(w *world) {
	if w.OneColumn {
		w.Log("the identity column is the key")
		return
	}
	gone := w.identity("")
	user := w.link(gone).User
	w.ory.remove(gone.ID)
	again, second := w.claiming(string(user)), w.claiming(string(user))
	for _, id := range []symbolon.Identity{again, second} {
		_, err := w.linker.Link(w.ctx, seen(id))
		w.wantErr(err, symbolon.ErrOnHold)
	}
	proof := w.prove(gone.ID)[0]
	_, err := w.linker.Rebind(w.ctx, w.identity("").ID, proof)
	w.wantErr(err, symbolon.ErrConflict)
	link, err := w.linker.Rebind(w.ctx, again.ID, proof)
	w.must(err)
	same(w, "user", link.User, user)
	same(w, "findings", w.findings(again.ID), "")
	same(w, "linked", w.link(again).User, user)
	same(w, "the former owner", w.look(query(gone)).Link.State, symbolon.Gone)
	if !strings.Contains(w.events(gone.ID), "identity.gone") {
		w.Fatalf("wrong history of the former owner: %s", w.events(gone.ID))
	}
	link, err = w.linker.Rebind(w.ctx, again.ID, proof)
	w.must(err)
	same(w, "user, asked twice", link.User, user)
	_, err = w.linker.Rebind(w.ctx, second.ID, proof)
	w.wantErr(err, symbolon.ErrConflict)
	same(w, "rows", len(w.Users()), 1)
}
