package server

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// TestSignUp runs with all features. The first whoami has the user's ID, and the user
// exists before the first request.
func TestSignUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database})
		ada := w.register(t, "ada@example.com")
		reserved := w.backReference(t, ada)
		if reserved == "" {
			t.Fatal("the first whoami has no user ID")
		}
		p := w.linked(t, ada.IdentityID) // before the first request
		if string(p.User.ID) != reserved || p.Link.Source != "link" || string(p.User.Identity) != ada.IdentityID || p.Identity.Ory != system.Exists {
			t.Errorf("%+v %+v %+v; reserved %s", p.Identity, p.User, p.Link, reserved)
		}
		if status, user := w.auth(t, ada); status != 200 || user != reserved {
			t.Errorf("the first request: %d, user %s, want %s", status, user, reserved)
		}
		showEverything(t, w, ada.IdentityID, reserved)
		if err := w.server.stop(); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
		if log := w.server.log(); !strings.Contains(log, `"msg":"stopped"`) || strings.Contains(log, "cAnArY") || strings.Contains(log, ada.Token) || strings.Contains(log, "ada@example.com") {
			t.Errorf("the log has a secret, or lacks the end of the server:\n%s", log)
		}
	})
}

// showEverything runs `symbolon show` for both IDs while the server runs.
func showEverything(t *testing.T, w *world, identity, user string) {
	t.Helper()
	for _, id := range []string{identity, user} {
		out, err := w.server.command("show", id).Output()
		if err != nil {
			t.Fatalf("show: %v", err)
		}
		for _, want := range []string{identity, user, "linked", "active at Ory", "its row names this identity", "user.linked"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("the output of show lacks %q:\n%s", want, out)
			}
		}
		out, err = w.server.command("show", id, "--json").Output()
		var p system.Person
		if err != nil || json.Unmarshal(out, &p) != nil || string(p.User.ID) != user {
			t.Errorf("show --json: %v\n%s", err, out)
		}
	}
}

// TestServeWithoutAFile needs only a secret and Ory's addresses. SQLite is in the working
// directory. Ory need not run.
func TestServeWithoutAFile(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	p.set("SYMBOLON_ORY_PUBLIC_URL=http://127.0.0.1:1", "SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:1")
	p.start(t)
	info, err := os.Stat(filepath.Join(p.dir, "symbolon.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database: %v %v", info, err)
	}
	if status, _, body := p.get(t, p.publicURL+"/auth", "X-Session-Token", "ory_st_"+strings.Repeat("a", 32)); status != 503 {
		t.Errorf("Ory is down, want 503: %d %s", status, body)
	}
	if status, _, body := p.get(t, p.publicURL+"/auth"); status != 401 {
		t.Errorf("no credential: %d %s", status, body)
	}
	if err := p.stop(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.log())
	}
	p.start(t) // again, with the same SQLite file
	if err := p.stop(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.log())
	}
}
