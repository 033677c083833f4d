package e2e

import (
	"testing"
)

// TestOryIsDown checks that pages report the outage and log nobody out. Afterwards
// everybody is the same user as before.
func TestOryIsDown(t *testing.T) {
	w, c := newWorld(t), newChromium(t)
	ada, stranger := c.person(t, w.url, look{}), c.person(t, w.url, look{})
	ada.signUp("ada@example.org", "Ada", password)
	ada.addNote("Ask Charles about the engine.")
	session, user := ada.session(), w.people()[0]

	w.kratos.Kill()
	ada.open("/settings")
	ada.at("/settings", 503, "Sign-in is not reachable", "stays signed in")
	stranger.open("/login")
	stranger.at("/login", 503, "Sign-in is not reachable")
	stranger.open("/")
	stranger.at("/", 200, "Short notes", "Sign up")
	stranger.open("/notes")
	stranger.at("/login", 503)
	eventually(t, "Ory's cached answer has expired", func() bool { ada.open("/notes"); return ada.status == 503 })
	ada.at("/notes", 503, "Sign-in is not reachable", "Your notes are safe", "Try again")
	ada.silent("Log in", "Sign up")
	ada.picture("outage")
	ada.open("/")
	ada.at("/", 200, "Sign-in is not reachable right now")
	ada.picture("outage_home")
	ada.open("/settings")
	ada.at("/settings", 503)
	ada.open("/nowhere")
	ada.at("/nowhere", 404, "There is nothing here")

	if err := w.kratos.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Ory is asked again (at most once a second)", func() bool { ada.open("/notes"); return ada.status == 200 })
	ada.at("/notes", 200, "Ask Charles about the engine.", user.ID)
	if ada.session() != session {
		t.Error("the session changed")
	}
	w.matched(1)
}
