package e2e

import (
	"strings"
	"testing"
	"time"
)

const password = "correct horse battery staple"

// signUp fills in the form.
func (p *tab) signUp(email, first, password string) {
	p.t.Helper()
	p.open("/registration")
	p.fillIn(email, first, password)
}

func (p *tab) fillIn(email, first, password string) {
	p.t.Helper()
	p.fill("traits.email", email)
	p.fill("traits.name.first", first)
	p.fill("password", password)
	p.submit("traits.email")
}

func (p *tab) logIn(email, password string) {
	p.t.Helper()
	p.fill("identifier", email)
	p.fill("password", password)
	p.submit("identifier")
}

func (p *tab) addNote(body string) {
	p.t.Helper()
	p.fill("body", body)
	p.click("Add note")
}

// TestSignUp tests all pages for one person, and a second person who must not see the
// first one's notes.
func TestSignUp(t *testing.T) {
	c := newChromium(t)
	for name, l := range map[string]look{"with scripts": {}, "without scripts": {noScripts: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ada := c.person(t, w.url, l)
			ada.open("/")
			ada.at("/", 200, "Short notes")
			ada.click("Sign up")
			ada.at("/registration", 200, "Sign up", "Have an account?")
			ada.fillIn("ada@example.org", "Ada", password)
			ada.at("/notes", 200, "Your notes", "Nothing here yet")
			w.matched(1)
			user := w.bornWith(ada.session(), "ada@example.org")
			ada.says(user.ID, user.Identity)
			if user.Name != "Ada" {
				t.Errorf("the row's name is %q", user.Name)
			}

			ada.addNote("Ask Charles about the engine.")
			ada.at("/notes", 200, "Ask Charles about the engine.")
			ada.picture("notes")
			ada.click("Profile")
			ada.at("/settings", 200, "Your profile", user.ID, user.Identity)
			ada.picture("settings")
			if email := ada.value("traits.email"); email != "ada@example.org" {
				t.Errorf("the profile shows the address %q", email)
			}
			ada.fill("traits.name.first", "Augusta Ada")
			ada.submit("traits.name.first")
			ada.at("/settings", 200, "Your changes have been saved!")
			eventually(t, "the row follows the profile", func() bool { return w.people()[0].Name == "Augusta Ada" })
			ada.click("Log out")
			ada.at("/", 200, "Log in")
			ada.open("/notes")
			ada.at("/login", 200, "Log in")
			ada.logIn("ada@example.org", "not the password")
			ada.at("/login", 200, "credentials are invalid")
			ada.logIn("ada@example.org", password)
			ada.at("/notes", 200, "Ask Charles about the engine.", user.ID)

			bob := c.person(t, w.url, l)
			bob.signUp("bob@example.org", "Bob", password)
			bob.at("/notes", 200, "Nothing here yet")
			bob.silent("Charles", user.ID, user.Identity)
			if w.bornWith(bob.session(), "bob@example.org").ID == user.ID {
				t.Error("two people have the same user")
			}
			w.matched(2)
		})
	}
}

// TestRefusedSignUps checks that an error is shown at its field, and that nothing is left
// of a refused sign-up.
func TestRefusedSignUps(t *testing.T) {
	w, c := newWorld(t), newChromium(t)
	ada := c.person(t, w.url, look{})
	ada.signUp("ada@example.org", "Ada", "short")
	ada.at("/registration", 200)
	if said := ada.beside("password"); !strings.HasPrefix(said, "true: ") || !strings.Contains(said, "at least 8 characters") {
		t.Errorf("the message at the password is %q", said)
	}
	ada.picture("registration_short_password")
	w.matched(0)
	ada.fillIn("ada@example.org", "Ada", password) // the same form, corrected
	ada.at("/notes", 200)
	w.matched(1)

	eve := c.person(t, w.url, look{})
	eve.signUp("ADA@example.org", "Eve", password)
	eve.at("/registration", 200)
	if said := eve.beside("traits.email"); !strings.HasPrefix(said, "true: ") || !strings.Contains(said, "There is an account with this email already") {
		t.Errorf("the message at the address is %q", said)
	}
	eve.picture("registration_duplicate")
	if eve.session() != "" {
		t.Error("a refused sign-up has a session")
	}
	time.Sleep(300 * time.Millisecond) // a late hook would have arrived by now
	w.matched(1)
}

// TestDeletedUser deletes the row of a person who still exists at Ory. The person reads
// why, can log out, and gets no other user.
func TestDeletedUser(t *testing.T) {
	w, c := newWorld(t), newChromium(t)
	ada := c.person(t, w.url, look{})
	ada.signUp("ada@example.org", "Ada", password)
	ada.at("/notes", 200)
	if _, err := w.db.ExecContext(t.Context(), "delete from people"); err != nil {
		t.Fatal(err)
	}
	ada.click("Log out")
	ada.open("/login")
	ada.logIn("ada@example.org", password)
	ada.at("/notes", 403, "Your account was deleted here", "Your identity at Ory", "Log out")
	ada.silent("Profile", "Sign up")
	ada.picture("deleted")
	ada.click("Log out")
	ada.at("/", 200, "Sign up")
	if len(w.people()) != 0 {
		t.Errorf("a new row: %+v", w.people())
	}
}
