package symbolontest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/symbolon-id/symbolon"
)

func testNobody(w *world) {
	id := w.identity("")
	w.unheard(id)
	out, err := w.write(query(id), symbolon.Plan{Action: symbolon.Keep})
	w.must(err)
	if out.New || out.Link.State != "" {
		w.Fatalf("Keep changed something: %+v", out)
	}
	w.unheard(id)
	_, err = w.Store.Record(w.ctx, "default", "no such user")
	w.wantErr(err, symbolon.ErrNotFound)
}

func testCreate(w *world) {
	id := w.identity("ada@example.com")
	first := w.link(id)
	same(w, "the row's identity", w.Users()[first.User], id.ID)
	same(w, "rows", len(w.Users()), 1)
	if w.Email != nil {
		same(w, "e-mail", w.Email(first.User), "ada@example.com")
	}
	same(w, "the second answer", w.link(id), first)
	same(w, "history", w.events(id.ID), "user.linked")
	h := w.look(query(id))
	if h.Link == nil || *h.Link != first || h.User == nil || h.Row == nil || *h.User != *h.Row {
		w.Fatalf("held: %+v", h)
	}
	same(w, "row", *h.Row, symbolon.Row{ID: first.User, Identity: id.ID, Linked: id.ID})
	e := w.record(string(id.ID)).Events[0]
	if e.User != first.User || e.Source != symbolon.FromRequest || e.At.IsZero() || e.Detail == "" || e.Before != "" {
		w.Fatalf("event: %+v", e)
	}
}

func testDecisionFails(w *world) {
	id := w.identity("")
	mine := errors.New("mine")
	_, err := w.Store.Write(w.ctx, query(id), func(symbolon.Evidence) (symbolon.Plan, error) {
		return symbolon.Plan{Action: symbolon.Create, User: w.minter.Mint(w.now())}, mine
	})
	same(w, "error", err, mine)
	w.unheard(id)
	conflict := &symbolon.ConflictError{Identity: id.ID}
	_, err = w.Store.Write(w.ctx, query(id), func(symbolon.Evidence) (symbolon.Plan, error) { return symbolon.Plan{}, conflict })
	same[error](w, "error", err, conflict)
	same(w, "rows", len(w.Users()), 0)
}

// testIdentityForms checks that nil, empty, malformed and non-canonical IDs are never
// keys.
func testIdentityForms(w *world) {
	const good = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
	for _, id := range []string{"", "00000000-0000-0000-0000-000000000000", "{" + good + "}", "urn:uuid:" + good, good[:35], good + "0",
		strings.ReplaceAll(good, "-", ""), strings.Replace(good, "-", "_", 1), " " + good, good + " ", good + "\n", good[:35] + "\x00",
		good[:35] + "g", good[:35] + "é", "１" + good[1:], "null", "'; drop table links; --", strings.Repeat("a", 10_000)} {
		bad := symbolon.Identity{ID: symbolon.IdentityID(id)}
		if _, err := w.Store.Read(w.ctx, query(bad)); err == nil || errors.Is(err, symbolon.ErrUnavailable) {
			w.Fatalf("Read took identity %q: %v", id, err)
		}
		_, err := w.write(query(bad), symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.Moved})
		if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
			w.Fatalf("Write took identity %q: %v", id, err)
		}
	}
	w.ory.put(symbolon.Identity{ID: good, State: symbolon.Active})
	link := w.link(symbolon.Identity{ID: good})
	upper := symbolon.Identity{ID: symbolon.IdentityID(strings.ToUpper(good))}
	h := w.look(query(upper))
	if h.Link == nil || *h.Link != link {
		w.Fatalf("upper case was taken for another identity: %+v", h)
	}
	out, err := w.write(query(upper), symbolon.Plan{Action: symbolon.Keep})
	w.must(err)
	same(w, "link", out.Link, link)
	for version := range 9 {
		id := symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("9f425a8d-7efc-%d768-8f23-7647a74fdf1%d", version, version))}
		w.ory.put(id)
		same(w, "identity", w.link(id).Identity, id.ID)
	}
	same(w, "users", len(w.Users()), 10)
}

// testUserForms checks that a user ID that the table cannot store matches no user.
func testUserForms(w *world) {
	id := w.identity("")
	bad := []symbolon.UserID{"", "\x00", "a\x00b", "\xff", symbolon.UserID(strings.Repeat("9", 40)), symbolon.UserID(strings.Repeat("x", 300)),
		"1' or '1'='1", `1" or "1"="1`, "00000000-0000-0000-0000-000000000000", "9223372036854775808", "1e3", "0x10", "０", "null", "default"}
	h := w.look(query(id, bad...))
	same(w, "answers", len(h.Claims), len(bad))
	for i, c := range h.Claims {
		if c != (symbolon.Claimed{}) {
			w.Fatalf("claim %q matches a user: %+v", bad[i], c)
		}
	}
	for _, user := range bad {
		w.link(w.claiming(string(user)))
	}
	same(w, "users", len(w.Users()), len(bad))
}

func testRowEvidence(w *world) {
	id := w.identity("ada@example.com")
	user := w.InsertUser(id.ID)
	link := w.link(id)
	same(w, "user", link.User, user)
	same(w, "rows", len(w.Users()), 1)
	same(w, "history", w.events(id.ID), "user.linked")
	if w.Email != nil {
		same(w, "the application's e-mail", w.Email(user), "")
	}
}

func testClaims(w *world) {
	a, asker := w.identity(""), w.identity("")
	linked := w.link(a).User
	byRow := newIdentityID()
	rowed := w.InsertUser(byRow)
	retired, missing := w.InsertUser(newIdentityID()), w.InsertUser(newIdentityID())
	w.forget(retired)
	w.DeleteUser(retired)
	w.DeleteUser(missing)
	h := w.look(query(asker, linked, rowed, retired, missing, linked, ""))
	for i, want := range []symbolon.Claimed{
		{Row: &symbolon.Row{ID: linked, Identity: a.ID, Linked: a.ID}, Linked: a.ID},
		{Row: &symbolon.Row{ID: rowed, Identity: byRow}},
		{Retired: true},
		{},
		{Row: &symbolon.Row{ID: linked, Identity: a.ID, Linked: a.ID}, Linked: a.ID},
		{},
	} {
		got := h.Claims[i]
		if (got.Row == nil) != (want.Row == nil) || got.Row != nil && *got.Row != *want.Row || got.Linked != want.Linked || got.Retired != want.Retired {
			w.Fatalf("claim %d: got %+v %+v, want %+v %+v", i, got, got.Row, want, want.Row)
		}
	}
	w.DeleteUser(linked)
	if c := w.look(query(asker, linked)).Claims[0]; c.Row != nil || c.Linked != a.ID {
		w.Fatalf("a link without a row: %+v", c)
	}
}

func testReserved(w *world) {
	reserved, ok := w.reserve()
	if !ok {
		return
	}
	id := w.carrying(reserved)
	link := w.link(id)
	same(w, "user", link.User, reserved.User)
	same(w, "row", w.Users()[reserved.User], id.ID)
	same(w, "back-reference", link.BackReference, string(reserved.User))
	same(w, "findings", w.findings(id.ID), "")
	thief := w.carrying(reserved)
	if got := w.link(thief).User; got == reserved.User {
		w.Fatal("the reserved ID was given out twice")
	}
	same(w, "findings", w.findings(thief.ID), "claimed_by_other")
}

func testVoucher(w *world) {
	if w.OneColumn {
		w.Log("each user has an identity")
		return
	}
	user := w.InsertUser("")
	voucher, err := w.minter.Voucher(user)
	w.must(err)
	id := w.identity("ada@example.com")
	id.MetadataAdmin = []byte(fmt.Sprintf(`{"symbolon":{"user":%q,"proof":%q}}`, voucher.User, voucher.Proof))
	w.ory.put(id)
	link, err := w.linker.Refresh(w.ctx, id.ID, symbolon.FromLinkHook)
	w.must(err)
	same(w, "user", link.User, user)
	same(w, "row", w.Users()[user], id.ID)
	same(w, "rows", len(w.Users()), 1)
	if w.Email != nil {
		same(w, "e-mail of a numbered reading", w.Email(user), "ada@example.com")
	}
}

func testClaimedByOther(w *world) {
	owner := w.link(w.identity("")).User
	other := w.claiming(string(owner))
	link := w.link(other)
	if link.User == owner {
		w.Fatal("the user of another identity was given out")
	}
	same(w, "findings", w.findings(other.ID), "claimed_by_other")
	same(w, "history", w.events(other.ID), "user.linked claim.refused finding.opened")
	w.link(other)
	same(w, "history", w.events(other.ID), "user.linked claim.refused finding.opened")
}

// testRecreatedIdentity recreates an identity with a new ID, as after a move of the
// project or a repeated import. The hold ends when the operator binds the identity.
func testRecreatedIdentity(w *world) {
	gone := w.identity("")
	user := w.link(gone).User
	w.ory.remove(gone.ID)
	again := w.claiming(string(user))
	for range 2 {
		_, err := w.linker.Link(w.ctx, seen(again))
		w.wantErr(err, symbolon.ErrOnHold)
	}
	same(w, "findings", w.findings(again.ID), "recreated_identity")
	same(w, "history", w.events(again.ID), "link.held finding.opened")
	same(w, "rows", len(w.Users()), 1)
	if w.OneColumn {
		return
	}
	link, err := w.linker.Bind(w.ctx, again.ID, user, symbolon.BindOptions{})
	w.must(err)
	same(w, "user", link.User, user)
	same(w, "findings", w.findings(again.ID), "")
	same(w, "linked", w.link(again).User, user)
	same(w, "the former owner", w.look(query(gone)).Link.State, symbolon.OnHold)
}

func testTickets(w *world) {
	again := w.Again()
	var mu sync.Mutex
	got := map[symbolon.Ticket]bool{}
	var wg sync.WaitGroup
	for _, store := range []symbolon.Store{w.Store, again, w.Store, again} {
		wg.Go(func() {
			var last symbolon.Ticket
			for range 25 {
				n, err := store.Ticket(w.ctx)
				if err != nil || n <= last {
					w.Errorf("ticket %d after %d: %v", n, last, err)
					return
				}
				last = n
				mu.Lock()
				if got[n] {
					w.Errorf("ticket %d twice", n)
				}
				got[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func testTicketOrder(w *world) {
	id := w.identity("first@example.com")
	user := w.link(id).User
	older, err := w.Store.Ticket(w.ctx)
	w.must(err)
	newer, err := w.Store.Ticket(w.ctx)
	w.must(err)
	read := func(ticket symbolon.Ticket, email string) symbolon.Reading {
		s := symbolon.Reading{Identity: id, Ticket: ticket, Source: symbolon.FromSyncHook, Admin: true}
		s.Identity.Traits = []byte(fmt.Sprintf(`{"email":%q}`, email))
		return s
	}
	for _, s := range []symbolon.Reading{read(newer, "newer@example.com"), read(older, "older@example.com"), read(0, "untimed@example.com")} {
		_, err := w.linker.Link(w.ctx, s)
		w.must(err)
		// A store must not rely on decide alone, because the reading may be older than
		// the entry when it is written.
		_, err = w.write(symbolon.Query{Project: "default", Reading: s}, symbolon.Plan{Action: symbolon.Update, User: user})
		w.must(err)
	}
	same(w, "ticket", w.look(query(id)).Link.Ticket, newer)
	if w.Email != nil {
		same(w, "e-mail", w.Email(user), "newer@example.com")
		same(w, "history", w.events(id.ID), "user.linked user.updated")
	}
}

func testUnchanged(w *world) {
	id := w.identity("ada@example.com")
	w.link(id)
	var last symbolon.Ticket
	for range 3 {
		link, err := w.linker.Refresh(w.ctx, id.ID, symbolon.FromSyncHook)
		w.must(err)
		if link.Ticket <= last {
			w.Fatalf("ticket %d after %d", link.Ticket, last)
		}
		last = link.Ticket
	}
	same(w, "history", w.events(id.ID), "user.linked")
}
