package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const password = "correct horse battery staple"

// traveller is a person with a browser, and what the demo knows about the person.
type traveller struct {
	*browser
	name, email string

	at       *page
	minted   string // the user's ID in the reserve hook's answer
	identity string // identity ID at Ory
	way      string // source of the link in the ledger; empty before the link
	hooks    int    // number of hooks before this person's
	gaveUps  int    // number of hooks that Ory had given up before
}

// journey runs all steps, shows them, and checks them. The error names the failed step.
func (d *demo) journey(ctx context.Context) error {
	begun := time.Now()
	ada := &traveller{browser: newBrowser(), name: "Ada", email: "ada@example.org"}
	grace := &traveller{browser: newBrowser(), name: "Grace", email: "grace@example.org"}
	for n, step := range []struct {
		title, about string
		does         func(context.Context, *traveller) error
		who          *traveller
	}{
		{"Ada signs up", "Ory asks Symbolon for a user ID and stores it with her identity.", d.signUp, ada},
		{"Her user is made before her first request", "Ory's hook tells Symbolon of her, unless a reconcile run finds her first.", d.linkedEarly, ada},
		{"She writes a note", "The note belongs to her user here, not to her identity at Ory.", d.writeNote, ada},
		{"She logs out and in again", "A new session leads to the same user and the same note.", d.comeBack, ada},
		{"Grace signs up, and her link hook is lost", "The hook does not tell Symbolon of her identity, which has the reserved ID.", d.signUpUnheard, grace},
		{"Her first request", "It links her if nothing has yet. Her user gets the ID from the sign-up.", d.firstRequest, grace},
		{"Ory sends the lost hook again, too late", "Nothing changes, because she is linked already.", d.lateHook, grace},
	} {
		d.t.step(n+1, step.title, step.about)
		if err := step.does(ctx, step.who); err != nil {
			return fmt.Errorf("step %d, %s: %w", n+1, step.title, err)
		}
	}
	d.t.note(fmt.Sprintf("%s  All 7 steps passed in %.1f seconds.\n   Ada was linked by %s, Grace by %s.",
		d.t.styled(good, "✓"), time.Since(begun).Seconds(), ways[ada.way], ways[grace.way]))
	return nil
}

// signUp fills in the form as a browser does, and asks Ory's whoami before the application gets a request.
func (d *demo) signUp(ctx context.Context, who *traveller) error {
	who.stop = notesPath // a later step opens the application
	who.hooks, who.gaveUps = d.tap.count(), d.gaveUps()
	err := d.insist(ctx, who, "sign-up", func() (*page, error) {
		form, err := who.get(ctx, d.notesURL()+"/registration")
		if err != nil {
			return nil, err
		}
		return who.submit(ctx, form, d.kratos.PublicURL, url.Values{"traits.email": {who.email}, "traits.name.first": {who.name}, "password": {password}})
	})
	if err != nil {
		return err
	}
	if err := d.accepted(who); err != nil {
		return err
	}
	return d.reserved(ctx, who)
}

// reserved checks that the identity has an ID that the reserve hook answered with. There may be several calls: Ory repeats a hook, and a
// sign-up that a busy machine refused is sent again.
func (d *demo) reserved(ctx context.Context, who *traveller) error {
	whoami, err := who.get(ctx, d.whoamiURL())
	if err != nil {
		return err
	}
	if whoami.status != http.StatusOK {
		return fmt.Errorf("whoami answers %d", whoami.status)
	}
	who.identity, who.minted = textAt(whoami.text, "identity", "id"), textAt(whoami.text, "identity", "metadata_public", "id")
	_, answered := d.tap.find(who.hooks, func(h hook) bool { return h.name == "reserve" && h.minted == who.minted })
	if !answered || who.minted == "" {
		return fmt.Errorf("no reserve hook was answered with %q, the ID in metadata_public", who.minted)
	}
	d.t.row("reserve hook", user, who.minted, "the answer: a user ID")
	d.t.row("first whoami", identity, who.identity, "id")
	d.t.row("", user, who.minted, "metadata_public.id")
	return nil
}

// linkedEarly waits for the link hook and checks the link. A reconcile run may have made the link before the hook, because the server
// compares all identities with its ledger when it starts. If no hook arrives, her first request links her.
func (d *demo) linkedEarly(ctx context.Context, who *traveller) error {
	came, err := d.linkAnswered(ctx, who, either)
	if err != nil {
		return err
	}
	if came {
		return d.bonded(ctx, who, 1, "link", "reconcile")
	}
	link, err := d.ledger(ctx, who.identity)
	if err != nil {
		return err
	}
	if link != nil {
		return d.bonded(ctx, who, 1, "reconcile")
	}
	d.t.row("ledger", plain, "no entry", "the first request links")
	return nil
}

const (
	notesPath = "/notes"
	adasNote  = "Ask Charles about the engine."
)

func (d *demo) writeNote(ctx context.Context, who *traveller) error {
	if err := d.openNotes(ctx, who); err != nil {
		return err
	}
	if who.way == "" {
		if err := d.bonded(ctx, who, 1, "request", "reconcile"); err != nil {
			return err
		}
	}
	form := who.at
	err := d.insist(ctx, who, "note", func() (*page, error) {
		return who.submit(ctx, form, notesPath, url.Values{"body": {adasNote}})
	})
	if err != nil {
		return err
	}
	if err := d.readNote(ctx, who); err != nil {
		return err
	}
	var owner string
	if err := d.db.QueryRowContext(ctx, "select user_id from notes where body = $1", adasNote).Scan(&owner); err != nil {
		return err
	}
	d.t.row("note", plain, adasNote, "")
	d.t.row("", user, owner, "user_id")
	return same("notes.user_id", owner, who.minted)
}

func (d *demo) comeBack(ctx context.Context, who *traveller) error {
	from := who.at
	err := d.insist(ctx, who, "log-out", func() (*page, error) { return who.submit(ctx, from, "/logout", nil) })
	if err != nil {
		return err
	}
	after, err := who.get(ctx, d.whoamiURL())
	if err != nil {
		return err
	}
	if err := same("whoami's status after the logout", fmt.Sprint(after.status), "401"); err != nil {
		return err
	}
	form, err := who.get(ctx, d.notesURL()+notesPath)
	if err != nil {
		return err
	}
	if err := same("the page that strangers get", form.url.Path, "/login"); err != nil {
		return err
	}
	d.t.row("logged out", plain, "/notes leads to /login", "")
	return d.logIn(ctx, who)
}

func (d *demo) logIn(ctx context.Context, who *traveller) error {
	err := d.insist(ctx, who, "log-in", func() (*page, error) {
		form, err := who.get(ctx, d.notesURL()+"/login?return_to="+notesPath)
		if err != nil || form.next != "" { // signed in already by a request that was answered with a 5xx
			return form, err
		}
		return who.submit(ctx, form, d.kratos.PublicURL, url.Values{"identifier": {who.email}, "password": {password}})
	})
	if err != nil {
		return err
	}
	if err := d.readNote(ctx, who); err != nil {
		return err
	}
	d.t.row("logged in", user, who.minted, "the same user")
	d.t.row("note", plain, adasNote, "still there")
	return nil
}

// signUpUnheard loses each link hook until firstRequest is over.
func (d *demo) signUpUnheard(ctx context.Context, who *traveller) error {
	d.tap.losing("link")
	if err := d.signUp(ctx, who); err != nil {
		return err
	}
	if _, err := d.linkHook(ctx, who, lost); err != nil && !errors.Is(err, errGaveUp) {
		return err
	}
	d.t.row("link hook", plain, "lost", "")
	p, err := d.row(ctx, who.identity) // read before the ledger, because both are written in one transaction
	if err != nil {
		return err
	}
	link, err := d.ledger(ctx, who.identity)
	if err != nil {
		return err
	}
	if link != nil { // a reconcile run found her at Ory
		return d.bonded(ctx, who, 2, "reconcile")
	}
	if p != nil {
		return fmt.Errorf("people has a row of identity %s, and the ledger has no entry", who.identity)
	}
	d.t.row("people", plain, "no row", "")
	d.t.row("ledger", plain, "no entry", "")
	return nil
}

func (d *demo) firstRequest(ctx context.Context, who *traveller) error {
	if err := d.openNotes(ctx, who); err != nil {
		return err
	}
	who.hooks = d.tap.count()
	d.tap.losing("") // hooks are forwarded from here on
	if who.at.shows(adasNote) {
		return fmt.Errorf("%s reads another person's note", who.name)
	}
	d.t.row("GET /notes", plain, "200: her page, without a note", "")
	return d.bonded(ctx, who, 2, "request", "reconcile")
}

// lateHook waits for Ory's next try. If Ory has given up before, it shows nothing.
func (d *demo) lateHook(ctx context.Context, who *traveller) error {
	if _, err := d.linkAnswered(ctx, who, answered); err != nil {
		return err
	}
	return d.bonded(ctx, who, 2)
}

func (d *demo) whoamiURL() string { return d.kratos.PublicURL + "/sessions/whoami" }

// accepted checks that a form was accepted, which then redirects to the notes page.
func (d *demo) accepted(who *traveller) error {
	if who.at.next != d.notesURL()+notesPath {
		return fmt.Errorf("the form does not lead to /notes but to %q (%d):\n%s", who.at.next, who.at.status, who.at.words())
	}
	return nil
}

// openNotes follows the form's redirect and checks that it is the notes page of this user.
func (d *demo) openNotes(ctx context.Context, who *traveller) (err error) {
	if err := d.accepted(who); err != nil {
		return err
	}
	if who.at, err = who.get(ctx, who.at.next); err != nil {
		return err
	}
	if who.at.status != http.StatusOK || who.at.url.Path != notesPath || !who.at.shows(who.minted) || !who.at.shows(who.identity) {
		return fmt.Errorf("%s, %d, is not the notes page of user %s:\n%s", who.at.url.Path, who.at.status, who.minted, who.at.words())
	}
	return nil
}

// readNote follows the form's redirect and checks that Ada's note is on the page.
func (d *demo) readNote(ctx context.Context, who *traveller) error {
	if err := d.openNotes(ctx, who); err != nil {
		return err
	}
	if !who.at.shows(adasNote) {
		return fmt.Errorf("the note is not on the page:\n%s", who.at.words())
	}
	return nil
}
