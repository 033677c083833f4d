package server

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// run runs a command of the program, which must succeed.
func (p *process) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s: %v %s%s", strings.Join(args, " "), err, out, failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestTwoIdentities has a person who signed up twice. After a merge both identities sign in as
// one user at once. The ban and the deletion of the second one touch no row, and an erasure
// erases all that is left.
func TestTwoIdentities(t *testing.T) {
	t.Parallel()
	onOne(t, func(t *testing.T, database string) {
		db := usersTable(t, database, "people", "email text unique, active boolean")
		w := startWorld(t, world{database: database, env: []string{"SYMBOLON_USERS_TABLE=people", "SYMBOLON_USERS_NEW_ID=database",
			`SYMBOLON_USERS_COLUMNS={"email":"traits.email","active":"active"}`, "SYMBOLON_AUTH_MAX_STALE=1m", "SYMBOLON_USERS_ON_IDENTITY_DELETED=delete"}})
		home, work, third := w.register(t, "home@example.com"), w.register(t, "work@example.com"), w.register(t, "third@example.com")
		users := map[*symbolontest.Person]string{}
		for _, p := range []*symbolontest.Person{home, work, third} {
			w.linked(t, p.IdentityID)
			_, users[p] = w.auth(t, p)
		}
		into := users[home]
		row := func() (row string) {
			t.Helper()
			var email string
			var active bool
			if err := db.QueryRow(`select email, active from people where id = `+into).Scan(&email, &active); err != nil {
				t.Fatal(err)
			}
			return email + map[bool]string{true: " active", false: " inactive"}[active]
		}
		for _, p := range []*symbolontest.Person{work, third} {
			w.server.run(t, "merge", users[p], into, "--why", "ticket 8812")
			cmdtest.Eventually(t, "the second identity signs in as the first user", func() bool { // its session was cached
				status, user := w.auth(t, p)
				return status == 200 && user == into
			})
		}
		if _, user := w.auth(t, home); user != into || row() != "home@example.com active" {
			t.Errorf("the first identity: user %s, row %q", user, row())
		}

		if err := w.kratos.PatchIdentity(t.Context(), work.IdentityID, []map[string]any{{"op": "replace", "path": "/state", "value": "inactive"}}); err != nil {
			t.Fatal(err)
		}
		w.server.send(t, "POST", w.server.operatorURL+"/admin/identities/"+work.IdentityID+"/sync", "")
		cmdtest.Eventually(t, "the banned identity is refused", func() bool { status, _ := w.auth(t, work); return status == 401 })
		if row() != "home@example.com active" {
			t.Errorf("the ban of the second identity reached the row: %q", row())
		}
		if err := w.kratos.DeleteIdentity(t.Context(), work.IdentityID); err != nil {
			t.Fatal(err)
		}
		w.server.send(t, "POST", w.server.operatorURL+"/admin/identities/"+work.IdentityID+"/sync", "")
		if row() != "home@example.com active" {
			t.Errorf("the deletion of the second identity reached the row: %q", row())
		}
		if status, user := w.auth(t, third); status != 200 || user != into {
			t.Errorf("the third identity: %d %s", status, user)
		}

		w.eraseNow(t, "/admin/users/"+into, func(e system.Erasure) bool { return e.Done })
		for _, p := range []*symbolontest.Person{home, third} {
			if _, status, err := w.kratos.GetIdentity(t.Context(), p.IdentityID); err != nil || status != 404 {
				t.Errorf("%s at Ory: %d %v", p.Email, status, err)
			}
			if status, user := w.auth(t, p); status == 200 {
				t.Errorf("%s is let in as %s", p.Email, user)
			}
		}
		w.traceless(t, home.Email, work.Email, third.Email)
	})
}
