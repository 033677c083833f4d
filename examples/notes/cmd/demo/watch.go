package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// welcome prints what the reader can try.
func (d *demo) welcome() {
	d.t.note("  Open " + d.t.styled(bold, d.notesURL()) + " and try:\n")
	for _, try := range [][2]string{
		{"sign up", "any address will do; the hooks are shown here as they come"},
		{"write a note", "it belongs to your row in the table people"},
		{"log out, log in", "the same row, the same note"},
		{"change your profile", "Ory sends a hook, and the row follows"},
	} {
		d.t.print("    %-20s %s\n", try[0], d.t.styled(dim, try[1]))
	}
	d.t.print("\n  Look behind it, with the ID of your user from the foot of the page:\n\n")
	d.t.print("    curl %s/admin/users/ID\n", d.operatorURL())
	d.t.print("    sqlite3 %s 'select * from people'\n", d.file("notes.db"))
	d.t.print("\n  Ctrl-C ends the demo and removes its data.\n")
}

// watch shows events as they happen.
func (d *demo) watch() {
	var one sync.Mutex // events are shown one after another
	shown := map[string]string{}
	bond := func(title, answer, identity string) {
		one.Lock()
		defer one.Unlock()
		d.t.event(title)
		if answer != "" {
			d.t.row("answer", plain, answer, "")
		}
		d.halves(identity, shown)
	}
	d.linked = func(l symbolon.Link) {
		bond("first request: it came before the link hook, and linked", "", string(l.Identity))
	}
	d.heard = func(h hook) {
		switch {
		case h.status == 0:
			d.t.event(h.name + " hook: Symbolon did not answer")
		case h.status != http.StatusOK:
			d.t.event(fmt.Sprintf("%s hook: Symbolon answered %d", h.name, h.status))
		case h.name == "reserve":
			one.Lock()
			defer one.Unlock()
			d.t.event("reserve hook: Ory is about to store an identity")
			d.t.row("answer", user, h.minted, "the ID of the user to be")
		case h.name == "link":
			bond("link hook: Ory has stored an identity", h.answer, h.identity)
		default:
			bond("sync hook: Ory has changed an identity", h.answer, h.identity)
		}
	}
}

// halves shows the application's row and Ory's value for an identity, unless they were
// shown before.
func (d *demo) halves(id string, shown map[string]string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p, err := d.row(ctx, id)
	held, atOry := d.atOry(ctx, id)
	link, atLedger := d.ledger(ctx, id)
	if err = errors.Join(err, atOry, atLedger); err != nil {
		d.t.row("", plain, "cannot be read: "+err.Error(), "")
		return
	}
	now := fmt.Sprint(p, held)
	if shown[id] == now {
		d.t.row("", plain, "nothing changed", "")
		return
	}
	shown[id] = now
	if p == nil {
		d.t.row("people", plain, "no row", "")
	} else {
		d.showPerson(p)
		d.t.row("", plain, p.name, "name")
	}
	if link != nil && ways[link.Source] != "" {
		d.t.row("ledger", plain, "linked by "+ways[link.Source], "")
	}
	d.t.row("Ory", identity, id, "id")
	d.t.row("", user, held, "metadata_public.id")
}
