package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

const strangerPassword = "correct horse battery staple 7"

// TestNewcomer follows somebody who has 50 users and 50 identities, knows nothing, and runs
// init and serve. Nobody gets a second user, people sign up meanwhile, and the last line of
// each command says which command comes next.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		const people = 50
		p := newProcess(t)
		db := cmdtest.OpenDB(t, dsn)
		key := map[bool]string{true: "integer primary key", false: "bigserial primary key"}[strings.HasPrefix(dsn, "sqlite")]
		cmdtest.Exec(t, db, `create table accounts (id `+key+`, email varchar(200))`,
			fmt.Sprintf(`insert into accounts (email) with recursive c (i) as (select 1 union all select i + 1 from c where i < %d) select 'p' || i || '@example.org' from c`, people))
		count := func(query string) (n int) {
			t.Helper()
			if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		do := func(want int, args ...string) string {
			t.Helper()
			cmd := p.command(args...)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Fatalf("%v: exit %d, want %d\n%s%s", args, got, want, out.String(), errs.String())
			}
			return out.String()
		}
		public, admin := e2e.FreePort(t), e2e.FreePort(t)
		out := do(0, "init", "--apply", "--database", dsn, "--table", "accounts", "--url", p.publicURL,
			"--ory-public-url", fmt.Sprintf("http://127.0.0.1:%d", public), "--ory-admin-url", fmt.Sprintf("http://127.0.0.1:%d", admin))
		if !strings.Contains(out, "accounts has 50 rows without an identity") ||
			!strings.Contains(out, "next:\n  symbolon migrate\n  symbolon adopt\n  symbolon serve\n") {
			t.Errorf("init does not say what comes next:\n%s", out)
		}
		k := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: []byte(cmdtest.ReadFile(t, filepath.Join(p.dir, "symbolon-hooks.yml"))), PublicPort: public, AdminPort: admin})
		bodies := make([]map[string]any, people)
		for i := range bodies {
			bodies[i] = map[string]any{"schema_id": "default", "traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", i+1)},
				"metadata_public": map[string]any{"id": fmt.Sprint(i + 1)}}
		}
		bodies[0]["credentials"] = map[string]any{"password": map[string]any{"config": map[string]any{"password": strangerPassword}}}
		ids, err := k.CreateIdentities(t.Context(), bodies)
		if err != nil {
			t.Fatal(err)
		}
		if out := do(3, "doctor"); !strings.Contains(out, "PROBLEM  start ") {
			t.Errorf("the doctor sees no rows without an identity:\n%s", out)
		}

		p.start(t)
		if log := p.log(); !strings.Contains(log, `"next":"symbolon adopt"`) {
			t.Errorf("serve does not say what comes next:\n%s", log)
		}
		old, err := k.Login(t.Context(), "p1@example.org", strangerPassword)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if status, _, body := p.get(t, p.publicURL+"/auth", "X-Session-Token", old.Token); status != http.StatusForbidden || !strings.Contains(string(body), "link_on_hold") {
				t.Errorf("somebody who was there before: %d %s", status, body)
			}
		}
		owners := map[string]bool{}
		for n := range 3 {
			young, err := k.Register(t.Context(), fmt.Sprintf("young%d@example.org", n), strangerPassword, "Young")
			if err != nil {
				t.Fatal(err)
			}
			cmdtest.Eventually(t, "somebody who signs up gets a user", func() bool {
				status, header, _ := p.get(t, p.publicURL+"/auth", "X-Session-Token", young.Token)
				owners[header.Get("X-User-Id")] = true
				return status == http.StatusOK
			})
		}
		delete(owners, "")
		if n := count(`select count(*) from accounts`); n != people+3 || len(owners) != 3 {
			t.Errorf("%d rows, and %d users of those who signed up", n, len(owners))
		}
		var findings struct{ Findings []struct{ Kind string } }
		if _, _, body := p.get(t, p.operatorURL+"/admin/findings"); json.Unmarshal(body, &findings) != nil || len(findings.Findings) != 1 || findings.Findings[0].Kind != "not_adopted" {
			t.Errorf("%s", body)
		}

		if out := do(3, "doctor"); !strings.Contains(out, "PROBLEM  start ") || !strings.Contains(out, "symbolon adopt") {
			t.Errorf("the doctor does not say what comes next:\n%s", out)
		}
		out = do(0, "adopt")
		if !strings.Contains(out, "50 of 50 by metadata_public.id\n") {
			t.Errorf("adopt does not see the place:\n%s", out)
		}
		out = do(0, next(t, out)...)
		out = do(0, next(t, out)...)
		if !strings.Contains(out, "50 bound") || finalLine(out) != "next: symbolon serve: everybody else gets a new user" {
			t.Errorf("apply does not say what comes next:\n%s", out)
		}
		began := time.Now()
		cmdtest.Eventually(t, "somebody who was there before has the right user", func() bool {
			status, header, _ := p.get(t, p.publicURL+"/auth", "X-Session-Token", old.Token)
			return status == http.StatusOK && header.Get("X-User-Id") == "1"
		})
		t.Logf("the server noticed it after %s", time.Since(began).Round(time.Millisecond))
		for i, id := range ids {
			if n := count(fmt.Sprintf(`select id from accounts where cast(ory_identity_id as text) = '%s'`, id)); n != i+1 {
				t.Errorf("identity %d has user %d", i+1, n)
			}
		}
		if n := count(`select count(*) from accounts where ory_identity_id is not null`); n != people+3 {
			t.Errorf("%d rows have an identity", n)
		}
		if out := do(0, "doctor", "--json"); !strings.Contains(out, `{"check":"users.start","verdict":"ok"`) {
			t.Errorf("the doctor is not content:\n%s", out)
		}
	})
}

func finalLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// next is the command that the last line of an output names.
func next(t *testing.T, out string) []string {
	t.Helper()
	_, command, found := strings.Cut(finalLine(out), "symbolon ")
	if !strings.HasPrefix(finalLine(out), "next: ") || !found {
		t.Fatalf("the last line names no command:\n%s", out)
	}
	return strings.Fields(command)
}
