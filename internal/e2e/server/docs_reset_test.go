package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// table creates a table with a key that the database makes.
func (w *walk) table(name, columns string) {
	w.t.Helper()
	key := "bigserial primary key"
	if w.sqlite {
		key = "integer primary key"
	}
	spelling := " check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________')"
	w.exec(`create table ` + name + ` (id ` + key + `, ory_identity_id text unique` + spelling + columns + `)`)
}

// files writes the yaml blocks of a section. A first line "# NAME" names the file.
func (w *walk) files(section string) {
	w.t.Helper()
	for _, text := range w.blocks(section, "yaml") {
		name := "symbolon.yaml"
		if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "# ") {
			name = strings.TrimPrefix(first, "# ")
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// refuses runs the program, which must not start, and returns what it says.
func (w *walk) refuses(args ...string) string {
	w.t.Helper()
	cmd := w.command(args...)
	stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil || !cmd.ProcessState.Exited() {
		w.t.Fatalf("%v started: %v\n%s", args, err, out)
	}
	return string(out)
}

func (w *walk) join(n int) (ids []string) {
	w.t.Helper()
	for i := range n {
		ids = append(ids, w.identity(map[string]any{"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", i)}}))
	}
	return ids
}

func (w *walk) is(query, want string) {
	w.t.Helper()
	if got := w.one(query); got != want {
		w.t.Errorf("%s: %q, want %q", query, got, want)
	}
}

// TestSeveralServices runs the commands of docs/several-services.md. Two services with a users
// table each are in one database, and two Ory projects have one users table.
func TestSeveralServices(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := newWalk(t, "several-services.md", database)
		const services, tenants = "Two services with a users table each", "Two Ory projects on one users table"
		w.table("buyers", ", email text")
		w.table("readers", ", email text")
		w.files(services)
		w.join(3)
		out := w.follow(services)
		w.says(out[0], "repaired unlinked_identity")
		w.is(`select cast(count(ory_identity_id) as text) from buyers`, "3")
		w.is(`select cast(count(ory_identity_id) as text) from readers`, "3")
		hooks, err := os.ReadFile(filepath.Join(w.dir, "hooks.yml"))
		if err != nil || strings.Count(string(hooks), "/hooks/link") < 2 || !strings.Contains(string(hooks), "http://blog.internal:4460/hooks/link") {
			t.Errorf("the hooks of one service are lost: %v\n%.2000s", err, hooks)
		}

		// The blog in the shop's project.
		blog, err := os.ReadFile(filepath.Join(w.dir, "blog.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, "wrong.yaml"), []byte(strings.Replace(string(blog), "project: blog", "project: shop", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"serve"}, {"reconcile", "--repair"}, {"show", "1"}, {"doctor"}} {
			w.says(w.refuses(append(args, "--config", "wrong.yaml")...), "the links of project shop belong to the users table")
		}
		w.is(`select cast(count(ory_identity_id) as text) from readers`, "3")

		for _, sql := range w.blocks("A renamed users table", "sql") {
			w.exec(sql)
		}
		w.follow("A renamed users table")
		w.is(`select cast(count(ory_identity_id) as text) from customers`, "3")

		w.table("people", ", tenant text not null, email text, unique (tenant, email)")
		beta := symbolontest.StartKratos(t, symbolontest.KratosConfig{})
		w.replaceAlso("http://127.0.0.1:5533", beta.PublicURL, "http://127.0.0.1:5534", beta.AdminURL)
		w.files(tenants)
		if _, err := beta.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": "p0@example.org"}}); err != nil {
			t.Fatal(err)
		}
		w.follow(tenants)
		w.follow(tenants) // beta's run leaves alpha's users alone, and the other way round
		w.is(`select cast(count(*) as text) from people where tenant = 'alpha' and ory_identity_id is not null`, "3")
		w.is(`select cast(count(*) as text) from people where tenant = 'beta' and ory_identity_id is not null`, "1")
	})
}

// TestReset runs the commands of docs/reset.md.
func TestReset(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := newWalk(t, "reset.md", database)
		w.env = append(w.env, "SYMBOLON_DELETION_PROOF_GAP=1s")
		page, _, _ := strings.Cut(w.text, "\n## ")
		_, page, _ = strings.Cut(page, "```yaml\n")
		page, _, _ = strings.Cut(page, "```")
		if err := os.WriteFile(filepath.Join(w.dir, "symbolon.yaml"), []byte(w.replace.Replace(page)), 0o600); err != nil {
			t.Fatal(err)
		}
		w.table("people", ", email text")
		w.join(3)
		w.run(0, "migrate")
		w.run(0, "reconcile", "--repair")
		w.is(`select cast(count(ory_identity_id) as text) from people`, "3")

		w.exec(`drop table people`)
		w.table("people", ", email text")
		for _, sql := range w.blocks("Your tables were made anew", "sql") {
			if !w.sqlite {
				w.exec(sql)
			}
		}
		if out := w.run(3, "reconcile"); !strings.Contains(out, "user_gone") {
			t.Errorf("people whose row is missing: %s", out)
		}
		out := w.follow("Your tables were made anew")
		w.says(out[0], "3 got a new user")
		w.is(`select cast(count(distinct ory_identity_id) as text) from people`, "3")
		w.is(`select cast(count(*) as text) from people where id <= 3`, "0")

		w.exec(`drop table people`)
		w.dropLedger()
		w.table("people", ", email text")
		out = w.follow("The whole database was made anew")
		w.says(out[0], "alone              3")
		w.is(`select cast(count(distinct ory_identity_id) as text) from people`, "3")

		// The identities are deleted, and made again with the users' IDs.
		old := map[string]string{}
		for _, id := range w.column(`select ory_identity_id from people`) {
			old[w.one(`select cast(id as text) from people where ory_identity_id = $1`, id)] = id
			if err := w.kratos.DeleteIdentity(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for user := range old {
			w.identity(map[string]any{"traits": map[string]any{"email": "new" + user + "@example.org"}, "metadata_public": map[string]any{"id": user}})
		}
		out = w.follow("Ory was made anew")
		w.says(out[0], "repaired recreated_identity  3")
		w.is(`select cast(count(*) as text) from people`, "3")
		for user, before := range old {
			id := w.one(`select ory_identity_id from people where cast(id as text) = $1`, user)
			if w.says(w.run(0, "show", user), id); id == before {
				t.Errorf("user %s still has the old identity", user)
			}
		}
	})
}

// column returns the values of a query.
func (w *walk) column(query string) (out []string) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// dropLedger drops Symbolon's own tables.
func (w *walk) dropLedger() {
	w.t.Helper()
	if !w.sqlite {
		w.exec(`drop schema symbolon cascade`)
		w.exec(`drop table symbolon_users`)
		return
	}
	names := w.column(`select name from sqlite_schema where type = 'table' and (name like 'symbolon%' or name like 'river%')`)
	for _, name := range names {
		w.exec(`drop table ` + name)
	}
}
