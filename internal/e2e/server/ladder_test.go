package server

import (
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// TestNoHooksNoAdmin has only Ory's public URL, which is the first step of the ladder.
// The first request links.
func TestNoHooksNoAdmin(t *testing.T) {
	t.Parallel()
	onOne(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, actions: []string{"none"}, noAdmin: true})
		ada := w.register(t, "ada@example.com")
		if p, known := w.person(t, ada.IdentityID); known {
			t.Errorf("known before the first request: %+v", p)
		}
		status, user := w.auth(t, ada)
		if status != 200 || user == "" {
			t.Fatalf("the first request: %d, user %q", status, user)
		}
		p := w.linked(t, ada.IdentityID)
		if string(p.User.ID) != user || p.Link.Source != "request" || p.Identity.Ory != system.NotAsked {
			t.Errorf("%+v %+v %+v", p.Identity, p.User, p.Link)
		}
		if status, again := w.auth(t, ada); status != 200 || again != user {
			t.Errorf("the second request: %d, user %q", status, again)
		}
	})
}

// TestStoppedServer stops Symbolon. Sign-ins succeed. Sign-ups succeed if there is no
// reserve hook, and with create the ID is written to Ory after the first request.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	w := startWorld(t, world{actions: []string{"--without-reserve"}, env: []string{"SYMBOLON_BACK_REFERENCE_WRITE=create"}})
	ada := w.register(t, "ada@example.com")
	before := w.linked(t, ada.IdentityID)
	if err := w.server.stop(); err != nil {
		t.Fatal(err)
	}
	again, err := w.kratos.Login(t.Context(), ada.Email, ada.Password)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	bob := w.register(t, "bob@example.com")
	w.server.start(t)
	if status, user := w.auth(t, again); status != 200 || user != string(before.User.ID) {
		t.Errorf("ada: %d, user %q, was %s", status, user, before.User.ID)
	}
	status, user := w.auth(t, bob)
	if status != 200 || user == "" {
		t.Fatalf("bob: %d, user %q", status, user)
	}
	cmdtest.Eventually(t, "Ory holds bob's user ID", func() bool { return w.backReference(t, bob) == user })
}
