package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const password = "correct horse battery staple"

// traveller is somebody with a browser, and what was found out about them on the way.
type traveller struct {
	*browser
	name, email string

	at       *page
	minted   string // what the reserve hook answered
	identity string // Ory's half
	hooks    int    // how many had come before
}

// journey makes the whole way, shows it, and checks it: the error is the first thing that is not so.
func (d *demo) journey(ctx context.Context) error {
	begun := time.Now()
	ada := &traveller{browser: newBrowser(), name: "Ada", email: "ada@example.org"}
	grace := &traveller{browser: newBrowser(), name: "Grace", email: "grace@example.org"}
	for n, part := range []struct {
		title string
		does  func(context.Context, *traveller) error
		who   *traveller
	}{
		{"Ada signs up", d.signUp, ada},
		{"The link hook comes: her user is there before her first request", d.linkedByHook, ada},
		{"She writes a note", d.writeNote, ada},
		{"She logs out, and in again: the same user, the same note", d.comeBack, ada},
		{"Grace signs up, and her link hook is lost on the way", d.signUpUnheard, grace},
		{"Her first request links her, to the very ID that was reserved", d.firstRequest, grace},
		{"Ory sends the lost hook again, too late: nothing changes", d.lateHook, grace},
	} {
		d.t.step(n+1, part.title)
		if err := part.does(ctx, part.who); err != nil {
			return fmt.Errorf("%s: %w", part.title, err)
		}
	}
	d.t.note(d.t.styled(good, "✓") + fmt.Sprintf(" All of this was so. It took %.1f seconds.", time.Since(begun).Seconds()))
	return nil
}

// signUp fills in the form as a browser does, and asks Ory's whoami before the application sees anything.
func (d *demo) signUp(ctx context.Context, who *traveller) error {
	who.hooks = d.tap.count()
	form, err := who.get(ctx, d.notesURL()+"/registration")
	if err != nil {
		return err
	}
	who.stop = "/notes"
	who.at, err = who.submit(ctx, form, d.kratos.PublicURL, url.Values{"traits.email": {who.email}, "traits.name.first": {who.name}, "password": {password}})
	who.stop = ""
	if err != nil {
		return err
	}
	if who.at.next != d.notesURL()+"/notes" {
		return fmt.Errorf("the sign-up does not lead to /notes but to %q:\n%s", who.at.next, who.at.words())
	}
	reserve, err := d.await(ctx, "the reserve hook", who.hooks, func(h hook) bool { return h.name == "reserve" })
	if err != nil {
		return err
	}
	who.minted = reserve.minted
	d.t.row("reserve hook", user, who.minted, "the answer: an ID, and nothing stored yet")
	return d.firstWhoami(ctx, who)
}

func (d *demo) firstWhoami(ctx context.Context, who *traveller) error {
	id, held, err := d.whoami(ctx, who.browser)
	if err != nil {
		return err
	}
	who.identity = id
	if err := same("metadata_public.id in the first whoami", held, who.minted); err != nil {
		return err
	}
	d.t.row("first whoami", identity, id, "the identity that Ory stored")
	d.t.row("", user, held, "metadata_public.id: the reserved one, from birth")
	return nil
}

func (d *demo) linkedByHook(ctx context.Context, who *traveller) error {
	h, err := d.await(ctx, "the link hook", who.hooks, func(h hook) bool { return h.name == "link" && h.identity == who.identity })
	if err != nil {
		return err
	}
	if err := d.heeded(ctx, "the answer to the link hook", h); err != nil {
		return err
	}
	d.t.row("link hook", plain, h.answer, "")
	return d.bonded(ctx, who, "link", 1)
}

// bonded checks all four places where the bond shows: the row, the ledger, Ory, and that there are no more rows than people.
func (d *demo) bonded(ctx context.Context, who *traveller, way string, people int) error {
	p, err := d.row(ctx, who.identity)
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("no row in people names identity %s", who.identity)
	}
	n, err := d.rows(ctx)
	if err != nil {
		return err
	}
	link, err := d.ledger(ctx, who.identity)
	if err != nil {
		return err
	}
	if link == nil {
		return fmt.Errorf("the ledger has no entry for identity %s", who.identity)
	}
	held, err := d.atOry(ctx, who.identity)
	if err != nil {
		return err
	}
	for _, check := range [][3]string{
		{"people.id", p.id, who.minted}, {"people.email", p.email, who.email}, {"the number of people", fmt.Sprint(n), fmt.Sprint(people)},
		{"the ledger's user", link.User, who.minted}, {"the ledger's state", link.State, "linked"}, {"how it was linked", link.Way, way},
		{"how often it was linked", fmt.Sprint(link.linked), "1"}, {"metadata_public.id at Ory", held, who.minted},
	} {
		if err := same(check[0], check[1], check[2]); err != nil {
			return err
		}
	}
	d.t.row("people", user, p.id, "id")
	d.t.row("", identity, p.identity, "ory_identity_id")
	d.t.row("", plain, p.email, "email")
	d.t.row("ledger", plain, "linked by the "+ways[way], "Symbolon's own word")
	d.t.row("Ory holds", user, held, "metadata_public.id")
	return nil
}

var ways = map[string]string{"link": "link hook", "request": "first request"}

const adasNote = "Ask Charles about the engine."

func (d *demo) writeNote(ctx context.Context, who *traveller) (err error) {
	if who.at, err = who.get(ctx, who.at.next); err != nil {
		return err
	}
	if err := d.onNotes(who); err != nil {
		return err
	}
	if who.at, err = who.submit(ctx, who.at, "/notes", url.Values{"body": {adasNote}}); err != nil {
		return err
	}
	if !who.at.shows(adasNote) {
		return fmt.Errorf("the note is not on the page:\n%s", who.at.words())
	}
	var owner string
	if err := d.db.QueryRowContext(ctx, "select user_id from notes where body = $1", adasNote).Scan(&owner); err != nil {
		return err
	}
	d.t.row("note", plain, adasNote, "")
	d.t.row("belongs to", user, owner, "notes.user_id")
	return same("notes.user_id", owner, who.minted)
}

// onNotes: the page is the notes page, of this user.
func (d *demo) onNotes(who *traveller) error {
	if who.at.status != http.StatusOK || who.at.url.Path != "/notes" || !who.at.shows(who.minted) || !who.at.shows(who.identity) {
		return fmt.Errorf("%s, %d, is not the notes page of user %s:\n%s", who.at.url.Path, who.at.status, who.minted, who.at.words())
	}
	return nil
}

func (d *demo) comeBack(ctx context.Context, who *traveller) (err error) {
	if who.at, err = who.submit(ctx, who.at, "/logout", nil); err != nil {
		return err
	}
	after, err := who.get(ctx, d.kratos.PublicURL+"/sessions/whoami")
	if err != nil {
		return err
	}
	if err := same("whoami's status after the logout", fmt.Sprint(after.status), "401"); err != nil {
		return err
	}
	if who.at, err = who.get(ctx, d.notesURL()+"/notes"); err != nil {
		return err
	}
	if err := same("the page that strangers get", who.at.url.Path, "/login"); err != nil {
		return err
	}
	d.t.row("logged out", plain, "/notes leads to /login", "")
	who.at, err = who.submit(ctx, who.at, d.kratos.PublicURL, url.Values{"identifier": {who.email}, "password": {password}})
	if err != nil {
		return err
	}
	if err := d.onNotes(who); err != nil {
		return err
	}
	if !who.at.shows(adasNote) {
		return fmt.Errorf("the note is gone:\n%s", who.at.words())
	}
	d.t.row("logged in", user, who.minted, "the same user")
	d.t.row("note", plain, adasNote, "still there")
	return nil
}

func (d *demo) signUpUnheard(ctx context.Context, who *traveller) error {
	d.tap.losing("link")
	if err := d.signUp(ctx, who); err != nil {
		return err
	}
	if _, err := d.await(ctx, "the link hook that is lost", who.hooks, func(h hook) bool { return h.name == "link" && h.identity == who.identity }); err != nil {
		return err
	}
	d.t.row("link hook", plain, "lost", "Symbolon never hears of it")
	p, err := d.row(ctx, who.identity)
	if err != nil {
		return err
	}
	link, err := d.ledger(ctx, who.identity)
	if err != nil {
		return err
	}
	if p != nil || link != nil {
		return fmt.Errorf("there is a user already: row %+v, ledger %+v", p, link)
	}
	d.t.row("people", plain, "no row", "")
	d.t.row("ledger", plain, "no entry", "")
	return nil
}

func (d *demo) firstRequest(ctx context.Context, who *traveller) (err error) {
	if who.at, err = who.get(ctx, who.at.next); err != nil {
		return err
	}
	who.hooks = d.tap.count()
	d.tap.losing("")
	if err := d.onNotes(who); err != nil {
		return err
	}
	if who.at.shows(adasNote) {
		return fmt.Errorf("%s reads somebody else's note", who.name)
	}
	d.t.row("GET /notes", plain, "200", "her own page, no note on it")
	return d.bonded(ctx, who, "request", 2)
}

// lateHook waits for Ory's next try, which comes within seconds; if Ory gave up before, there is nothing to see.
func (d *demo) lateHook(ctx context.Context, who *traveller) error {
	soon, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	h, err := d.tap.wait(soon, "it", who.hooks, func(h hook) bool { return h.name == "link" && h.identity == who.identity })
	if err != nil {
		d.t.row("link hook", plain, "Ory has given up", "")
		return ctx.Err()
	}
	if err := d.heeded(ctx, "the answer to the late link hook", h); err != nil {
		return err
	}
	d.t.row("link hook", plain, h.answer, "")
	return d.bonded(ctx, who, "request", 2)
}

// await bounds how long a hook may take to come.
func (d *demo) await(ctx context.Context, what string, after int, wanted func(hook) bool) (hook, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return d.tap.wait(ctx, what, after, wanted)
}

// heeded checks that Symbolon did what a hook told of. Where Ory takes its time that is queued, and done soon.
func (d *demo) heeded(ctx context.Context, what string, h hook) error {
	if h.answer != "queued" {
		return same(what, h.answer, "done")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if link, err := d.ledger(ctx, h.identity); err != nil || link != nil && link.linked > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was %q, and nothing came of it: %w", what, h.answer, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// whoami asks Ory itself with the browser's cookies, and nobody else.
func (d *demo) whoami(ctx context.Context, b *browser) (id, held string, err error) {
	p, err := b.get(ctx, d.kratos.PublicURL+"/sessions/whoami")
	if err != nil {
		return "", "", err
	}
	if p.status != http.StatusOK {
		return "", "", fmt.Errorf("whoami says %d", p.status)
	}
	body := []byte(p.text)
	return textAt(body, "identity", "id"), textAt(body, "identity", "metadata_public", "id"), nil
}

func same(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s is %q, not %q", what, got, want)
	}
	return nil
}
