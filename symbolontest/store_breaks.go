package symbolontest

import (
	"context"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

func (w *world) now() time.Time { return time.Now() }

func (w *world) forget(user symbolon.UserID) {
	w.Helper()
	w.InTx(func(tx symbolon.Execer) error {
		w.must(w.Store.Forget(w.ctx, tx, "default", user))
		return nil
	})
}

func testUserGone(w *world) {
	id := w.identity("")
	user := w.link(id).User
	w.DeleteUser(user)
	for range 3 {
		_, err := w.linker.Link(w.ctx, seen(id))
		w.wantErr(err, symbolon.ErrUserGone)
	}
	same(w, "findings", w.findings(id.ID), "user_gone")
	same(w, "history", w.events(id.ID), "user.linked finding.opened")
	same(w, "rows", len(w.Users()), 0)
	if next := w.link(w.identity("")).User; next == user {
		w.Fatal("the ID of a user whose row is missing was given to another identity")
	}
	same(w, "state", w.look(query(id)).Link.State, symbolon.Linked)
}

func testDisagree(w *world) {
	if w.OneColumn {
		w.Log("the identity column is the key")
		return
	}
	id := w.identity("")
	user := w.link(id).User
	w.SetIdentity(user, "")
	_, err := w.linker.Link(w.ctx, seen(id))
	w.wantErr(err, symbolon.ErrOnHold)
	same(w, "findings", w.findings(id.ID), "column_disagrees")
	h := w.look(query(id))
	if h.Row != nil || h.User == nil || h.User.Identity != "" || h.User.Linked != id.ID {
		w.Fatalf("held: %+v, user %+v", h, h.User)
	}

	// The row of another user has the ID of an identity that has a user already.
	w.SetIdentity(user, id.ID)
	w.link(id)
	other := w.identity("")
	w.SetIdentity(user, other.ID)
	for _, who := range []symbolon.Identity{id, other} {
		_, err := w.linker.Link(w.ctx, seen(who))
		w.wantErr(err, symbolon.ErrOnHold)
	}
	same(w, "state of the other", w.look(query(other)).Link.State, symbolon.OnHold)
	same(w, "rows", len(w.Users()), 1)

	w.SetIdentity(user, id.ID)
	same(w, "mended", w.link(id).User, user)
	_, err = w.linker.Refresh(w.ctx, id.ID, symbolon.FromSyncHook)
	w.must(err)
	same(w, "findings after a newer reading", w.findings(id.ID), "")
	if got := w.link(other).User; got == user {
		w.Fatal("the other identity got the user")
	}
}

func testForget(w *world) {
	id := w.identity("")
	user := w.link(id).User
	never := w.InsertUser(newIdentityID())
	w.InTx(func(tx symbolon.Execer) error {
		w.must(w.Store.Forget(w.ctx, tx, "default", user))
		return errors.New("the application changed its mind")
	})
	same(w, "rolled back", w.link(id).User, user)
	same(w, "history", w.events(id.ID), "user.linked")

	w.InTx(func(tx symbolon.Execer) error {
		w.must(w.Store.Forget(w.ctx, tx, "default", user))
		w.must(w.Store.Forget(w.ctx, tx, "default", user))
		return nil
	})
	w.DeleteUser(user)
	w.forget(user)
	for range 2 {
		_, err := w.linker.Link(w.ctx, seen(id))
		w.wantErr(err, symbolon.ErrUserGone)
	}
	same(w, "history", w.events(id.ID), "user.linked user.forgotten")
	same(w, "findings", w.findings(id.ID), "")
	link := w.look(query(id)).Link
	same(w, "state", link.State, symbolon.Forgotten)
	same(w, "user", link.User, user)
	e := w.record(string(user)).Events
	same(w, "identity in the event", e[len(e)-1].Identity, id.ID)

	w.forget(never)
	w.forget(never)
	w.DeleteUser(never)
	same(w, "retired", w.look(query(w.identity(""), never)).Claims[0].Retired, true)
	same(w, "events of a user that was never linked", len(w.record(string(never)).Events), 1)

	thief := w.claiming(string(user))
	if got := w.link(thief).User; got == user {
		w.Fatal("a retired ID was given out again")
	}
}

func testRecreate(w *world) {
	if w.Store.NewID() == symbolon.ByIdentity {
		w.Log("a new user would have the same ID")
		return
	}
	w.linker.OnUserDeleted = link.RecreateDeleted
	for _, forget := range []bool{true, false} {
		id := w.identity("")
		before := w.link(id).User
		if forget {
			w.forget(before)
		}
		w.DeleteUser(before)
		w.app.delete(before)
		after := w.link(id).User
		if after == before {
			w.Fatal("the ID of a deleted user was given out again")
		}
		if other := w.link(w.identity("")).User; other == before {
			w.Fatal("the ID of a deleted user was given to another identity")
		}
		same(w, "again", w.link(id).User, after)
		events := w.record(string(id.ID)).Events
		made := events[1]
		if forget {
			made = events[2]
		}
		if made.Kind != symbolon.UserRecreated || made.User != after || made.Before != before {
			w.Fatalf("event: %+v", made)
		}
		same(w, "retired", w.look(query(w.identity(""), before)).Claims[0].Retired, true)
		same(w, "the former user's record", len(w.record(string(before)).Events) > 0, true)
	}
}

func testHold(w *world) {
	id := w.identity("")
	plan := symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.RecreatedIdentity, Why: "because",
		Findings: []symbolon.Finding{{Kind: symbolon.RecreatedIdentity, Identity: id.ID, Detail: "detail"}},
		Err:      &symbolon.DenyError{Identity: id.ID, Err: symbolon.ErrOnHold}}
	for i := range 3 {
		out, err := w.write(query(id), plan)
		w.must(err)
		same(w, "opened by this call", len(out.Opened) == 1, i == 0)
		same(w, "state", out.Link.State, symbolon.OnHold)
		same(w, "reason", out.Link.Reason, symbolon.RecreatedIdentity)
		same(w, "new", out.New, false)
		same(w, "error", out.Plan.Err, plan.Err)
	}
	same(w, "history", w.events(id.ID), "link.held finding.opened")
	r := w.record(string(id.ID))
	same(w, "findings", len(r.Findings), 1)
	same(w, "finding", r.Findings[0].Detail, "detail")
	same(w, "user", r.Link.User, "")

	// A hold for another reason is a new event. A link closes the hold and its finding.
	plan.Reason, plan.Findings = symbolon.ClaimedByOther, nil
	_, err := w.write(query(id), plan)
	w.must(err)
	same(w, "history", w.events(id.ID), "link.held finding.opened link.held")
	w.link(id)
	same(w, "history", w.events(id.ID), "link.held finding.opened link.held user.linked finding.closed")
	same(w, "findings", w.findings(id.ID), "")
}

func testDeny(w *world) {
	id := w.identity("")
	user := w.link(id).User
	plan := symbolon.Plan{Action: symbolon.Deny, User: user, Reason: symbolon.ColumnDisagrees,
		Findings: []symbolon.Finding{{Kind: symbolon.ColumnDisagrees, Identity: id.ID, User: user}}}
	for range 2 {
		out, err := w.write(query(id), plan)
		w.must(err)
		same(w, "state", out.Link.State, symbolon.Linked)
	}
	same(w, "history", w.events(id.ID), "user.linked finding.opened")
	same(w, "rows", w.Users()[user], id.ID)
}

func testBackReference(w *world) {
	id := w.identity("")
	user := w.link(id).User
	for range 2 {
		out, err := w.write(query(id), symbolon.Plan{Action: symbolon.Confirm, User: user, BackReference: string(user)})
		w.must(err)
		same(w, "back-reference", out.Link.BackReference, string(user))
	}
	same(w, "kept", w.look(query(id)).Link.BackReference, string(user))
	same(w, "history", w.events(id.ID), "user.linked")
	_, err := w.linker.Refresh(w.ctx, id.ID, symbolon.FromSyncHook)
	w.must(err)
	same(w, "kept", w.look(query(id)).Link.BackReference, string(user))
	stranger := w.identity("")
	_, err = w.write(query(stranger), symbolon.Plan{Action: symbolon.Confirm, BackReference: "x"})
	w.must(err)
	w.unheard(stranger)
}

func testOnLink(w *world) {
	if w.OnLink == nil {
		w.Log("the store has no OnLink")
		return
	}
	id := w.identity("")
	mine := errors.New("no org today")
	var calls []symbolon.Link
	var fail error
	w.OnLink(func(ctx context.Context, tx symbolon.Execer, link symbolon.Link) error {
		calls = append(calls, link)
		if err := w.Scribble(ctx, tx); err != nil {
			return err
		}
		return fail
	})
	fail = mine
	_, err := w.linker.Link(w.ctx, seen(id))
	w.wantErr(err, mine)
	if errors.Is(err, symbolon.ErrUnavailable) {
		w.Fatalf("OnLink's own error is reported as a database error: %v", err)
	}
	w.unheard(id)
	same(w, "rows", len(w.Users()), 0)
	same(w, "scribbles", w.Scribbled(), 0)

	fail = nil
	link := w.link(id)
	w.link(id)
	same(w, "the last call", calls[len(calls)-1], link) // there are more calls if the store repeated the transaction
	same(w, "scribbles", w.Scribbled(), 1)

	byRow := w.identity("")
	w.InsertUser(byRow.ID)
	attached := w.link(byRow)
	same(w, "the call for an attached row", calls[len(calls)-1], attached)
	same(w, "scribbles", w.Scribbled(), 2)
	func() {
		defer func() { _ = recover() }()
		w.OnLink(func(context.Context, symbolon.Execer, symbolon.Link) error { panic("oops") })
		_, _ = w.linker.Link(w.ctx, seen(w.identity("")))
	}()
	w.OnLink(func(context.Context, symbolon.Execer, symbolon.Link) error { return nil })
	w.link(w.identity("")) // a panic left nothing locked
	same(w, "scribbles after it", w.Scribbled(), 2)
}

// testProjects checks that two Ory projects can share an application without sharing a
// ledger.
func testProjects(w *world) {
	id := w.identity("")
	user := w.link(id).User
	ours := query(w.identity(""), user)
	theirs := ours
	theirs.Project = "other"
	same(w, "our claim", w.look(ours).Claims[0].Linked, id.ID)
	same(w, "their claim", w.look(theirs).Claims[0].Linked, "")
	same(w, "their row", w.look(theirs).Claims[0].Row.Linked, "")
	q := query(id)
	q.Project = "other"
	if h := w.look(q); h.Link != nil {
		w.Fatalf("another project sees the link: %+v", h.Link)
	}
	_, err := w.Store.Record(w.ctx, "third", "nobody")
	w.wantErr(err, symbolon.ErrNotFound)
	w.InTx(func(tx symbolon.Execer) error { return w.Store.Forget(w.ctx, tx, "other", user) })
	same(w, "still ours", w.link(id).User, user)
}

func testRecords(w *world) {
	id := w.identity("")
	link := w.link(id)
	byIdentity, byUser := w.record(string(id.ID)), w.record(string(link.User))
	for _, r := range []symbolon.Record{byIdentity, byUser} {
		if r.Link == nil || *r.Link != link || r.Row == nil || *r.Row != (symbolon.Row{ID: link.User, Identity: id.ID, Linked: id.ID}) || len(r.Events) != 1 {
			w.Fatalf("record: %+v", r)
		}
	}
	alone := newIdentityID()
	user := w.InsertUser(alone)
	for _, key := range []string{string(alone), string(user)} {
		if r := w.record(key); r.Link != nil || r.Row == nil || r.Row.ID != user {
			w.Fatalf("wrong record of a row without an entry: %+v", r)
		}
	}
	plan := symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.ClaimedByOther}
	for i := range 120 {
		plan.Reason = []symbolon.FindingKind{symbolon.ClaimedByOther, symbolon.VoucherVoid}[i%2]
		_, err := w.write(symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: symbolon.Identity{ID: alone}}}, plan)
		w.must(err)
	}
	events := w.record(string(alone)).Events
	same(w, "events", len(events), 100)
	for i := range 99 {
		if events[i].ID >= events[i+1].ID {
			w.Fatal("the events are not in order")
		}
	}
	same(w, "the newest is there", events[99].Finding, symbolon.VoucherVoid)
}
