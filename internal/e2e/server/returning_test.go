package server

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestComesBack has a person delete the account at Ory and sign up again. While the address is
// not verified, the person waits. After the verification the person has the former user.
func TestComesBack(t *testing.T) {
	t.Parallel()
	onOne(t, func(t *testing.T, database string) {
		dir := t.TempDir()
		w := startWorld(t, world{database: database, config: symbolontest.KratosConfig{Dir: dir},
			env:    []string{"SYMBOLON_DELETION_PROOF_GAP=1s"},
			before: func(w *world) { w.server.set("SYMBOLON_USERS_ON_RETURN=restore") }}) // it needs the admin URL
		stays := w.register(t, "stays@example.com")
		_, other := w.auth(t, stays)
		const address = "ann@example.com"
		created, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": address},
			"verifiable_addresses": []any{map[string]any{"value": address, "via": "email", "verified": true, "status": "completed"}},
			"credentials":          map[string]any{"password": map[string]any{"config": map[string]any{"password": cmdtest.Password}}}})
		if err != nil {
			t.Fatal(err)
		}
		if raw, _, err := w.kratos.GetIdentity(t.Context(), created); err != nil || !strings.Contains(string(raw), `"verified":true`) {
			t.Fatalf("the identity is not verified: %s %v", raw, err)
		}
		ann, err := w.kratos.Login(t.Context(), address, cmdtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		status, former := w.auth(t, ann)
		if status != 200 || former == "" || former == other {
			t.Fatalf("at first: %d, user %q", status, former)
		}
		if err := w.kratos.DeleteIdentity(t.Context(), ann.IdentityID); err != nil {
			t.Fatal(err)
		}
		db, dialect := openWorld(t, w.database)
		links := map[string]string{"postgres": "symbolon.links", "sqlite": "symbolon_links"}[dialect]
		if _, err := db.Exec(`update ` + links + ` set linked_at = '2026-01-02T03:04:05.000000Z'`); err != nil { // a run does not judge links that are new
			t.Fatal(err)
		}
		if out, err := w.server.command("reconcile", "--repair").CombinedOutput(); err != nil {
			t.Fatalf("reconcile: %v\n%s", err, out)
		}

		if p, _ := w.person(t, ann.IdentityID); p.Link == nil || p.Link.State != symbolon.Gone {
			t.Fatalf("the end is not proved: %+v", p.Link)
		}

		again := w.register(t, address)
		if got := w.code(t, again); got != "403 link_on_hold" {
			t.Fatalf("before the verification: %s", got)
		}
		if p, _ := w.person(t, again.IdentityID); len(p.Findings) != 1 || !strings.Contains(p.Findings[0].Detail, former) {
			t.Errorf("the finding does not name the former user: %+v", p.Findings)
		}
		w.verify(t, dir, again)
		cmdtest.Eventually(t, "the former user", func() bool {
			status, user := w.auth(t, again)
			return status == 200 && user == former
		})
		// The ID that was reserved at the sign-up stays in the metadata.
		if out, _ := w.server.command("reconcile").CombinedOutput(); !strings.Contains(string(out), "left foreign_back_reference") || !strings.Contains(string(out), "1 difference is left") {
			t.Errorf("reconcile: %s", out)
		}
	})
}
