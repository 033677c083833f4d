package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
)

// TestNewerSchema: a newer version migrates the tables under a running server, as in a
// rolling restart. The server goes on with everything. After a restart it refuses the
// tables, and says that it must be upgraded.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		k, p := cmdtest.StartKratos(t), newProcess(t)
		p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_ORY_PUBLIC_URL="+k.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+k.AdminURL)
		p.start(t)
		everything := func(n int) {
			t.Helper()
			p.everything(t, k, n)
		}
		everything(10)

		own := "symbolon_"
		if strings.HasPrefix(database, "postgres") {
			own = "symbolon."
		}
		migration := []string{"create table " + own + "later (id integer primary key)", "create index later_by_state on " + own + "links (state, ticket)",
			"update " + own + "layout set version = version + 1"}
		for _, table := range []string{"links", "retired", "events", "findings", "runs", "erasures", "sessions", "purges"} {
			migration = append(migration, "alter table "+own+table+" add column later text not null default ''")
		}
		cmdtest.Exec(t, cmdtest.OpenDB(t, database), migration...)
		everything(20)

		if err := p.stop(); err != nil {
			t.Error(err)
		}
		p.launch(t)
		<-p.child.Load().Done()
		if err := p.child.Load().Err(); err == nil || !strings.Contains(p.log(), "the tables are newer than this program: upgrade the program") {
			t.Errorf("a restart: %v", err)
		}
		if out, err := p.command("show", "42").CombinedOutput(); err == nil || !strings.Contains(string(out), "newer than this program") {
			t.Errorf("a command: %v\n%s", err, out)
		}
	})
}

// everything uses each part of the server that writes to the database, with the identities n
// to n+3.
func (p *process) everything(t *testing.T, k *cmdtest.Kratos, n int) {
	t.Helper()
	keys := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)})
	id, token := k.Add(n)
	other, _ := k.Add(n + 1)
	erased, _ := k.Add(n + 2)
	foreign, _ := k.Add(n + 3)
	k.Set(foreign, "metadata_public", map[string]any{"id": "legacy"}) // a finding
	for _, r := range []struct{ method, url, body, key string }{
		{"GET", p.publicURL + "/auth", "", ""},
		{"POST", p.publicURL + "/hooks/link", fmt.Sprintf(`{"identity_id":%q,"id":null,"columns":{}}`, other), keys.Link[0]},
		{"POST", p.publicURL + "/hooks/link", fmt.Sprintf(`{"identity_id":%q,"id":null,"columns":{}}`, erased), keys.Link[0]},
		{"POST", p.publicURL + "/hooks/sync", fmt.Sprintf(`{"identity_id":%q}`, id), keys.Sync[0]},
		{"POST", p.operatorURL + "/admin/reconcile", `{"repair":true}`, ""},
		{"DELETE", p.operatorURL + "/admin/identities/" + erased, "", ""},
		{"DELETE", p.operatorURL + "/admin/identities/" + id + "/sessions", "", ""},
		{"GET", p.operatorURL + "/admin/identities/" + other, "", ""},
	} {
		status, _, body := p.send(t, r.method, r.url, r.body, "X-Symbolon-Key", r.key, "X-Session-Token", token)
		if status < 200 || status > 204 {
			t.Errorf("%s %s: %d %s", r.method, r.url, status, body)
		}
	}
	for what, path := range map[string]string{"the run repairs": "/admin/identities/" + foreign, "the erasure is done": "/admin/identities/" + erased} {
		cmdtest.Eventually(t, what, func() bool {
			_, _, body := p.get(t, p.operatorURL+path)
			return strings.Contains(string(body), `"state":"linked"`) || strings.Contains(string(body), `"done":true`)
		})
	}
}
