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

// welcome says what to try.
func (d *demo) welcome() {
	d.t.note("  Open " + d.t.styled(bold, d.notesURL()) + " and try:\n")
	for _, try := range [][2]string{
		{"sign up", "the bond forms, and you read here how"},
		{"write a note", "it belongs to your row in the table people, not to Ory's identity"},
		{"log out, log in", "the same row, the same note"},
		{"change your profile", "Ory tells, and the row follows"},
	} {
		d.t.print("    %-20s %s\n", try[0], d.t.styled(dim, try[1]))
	}
	d.t.print("\n    %-20s %s\n", "both halves", d.t.styled(dim, "curl "+d.operatorURL()+"/admin/users/ID"))
	d.t.print("    %-20s %s\n", "the table", d.t.styled(dim, "sqlite3 "+d.file("notes.db")+" 'select * from people'"))
	d.t.print("\n  Ctrl-C ends it and removes everything.\n")
}

// watch shows what happens, as it happens.
func (d *demo) watch() {
	var one sync.Mutex // events are shown one after another
	shown := map[string]string{}
	bond := func(title, answer, identity string) {
		one.Lock()
		defer one.Unlock()
		d.t.event(title)
		if answer != "" {
			d.t.row("answered", plain, answer, "")
		}
		d.halves(identity, shown)
	}
	d.linked = func(l symbolon.Link) { bond("first request, before any link hook: linked", "", string(l.Identity)) }
	d.heard = func(h hook) {
		switch {
		case h.status == 0:
			d.t.event(h.name + " hook: Symbolon did not answer")
		case h.status != http.StatusOK:
			d.t.event(fmt.Sprintf("%s hook: Symbolon answered %d", h.name, h.status))
		case h.name == "reserve":
			one.Lock()
			defer one.Unlock()
			d.t.event("reserve hook: Ory asks, before it stores anybody")
			d.t.row("answered", user, h.minted, "the user's ID; no user yet")
		case h.name == "link":
			bond("link hook: Ory has stored an identity", h.answer, h.identity)
		default:
			bond("sync hook: Ory has changed an identity", h.answer, h.identity)
		}
	}
}

// halves shows what the application holds of an identity, and what Ory does, unless it was shown before.
func (d *demo) halves(id string, shown map[string]string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p, err := d.row(ctx, id)
	held, atOry := d.atOry(ctx, id)
	if err != nil || atOry != nil {
		d.t.row("", plain, "cannot be read", errors.Join(err, atOry).Error())
		return
	}
	now := fmt.Sprint(p, held)
	if shown[id] == now {
		d.t.row("", plain, "nothing was left to do", "")
		return
	}
	shown[id] = now
	if p == nil {
		d.t.row("people", plain, "no row", "")
	} else {
		d.t.row("people", user, p.id, "id")
		d.t.row("", identity, p.identity, "ory_identity_id")
		d.t.row("", plain, p.email, "email")
		d.t.row("", plain, p.name, "name")
	}
	d.t.row("Ory holds", identity, id, "id")
	d.t.row("", user, held, "metadata_public.id")
}
