package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestInitServeDoctor runs init on an application's own table, then serve and doctor,
// with a real Kratos. Then it stops the server.
func TestInitServeDoctor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		p := newProcess(t)
		db := cmdtest.OpenDB(t, dsn)
		key := map[bool]string{true: "text", false: "uuid"}[strings.HasPrefix(dsn, "sqlite")]
		cmdtest.Exec(t, db, `create table accounts (id `+key+` primary key, email varchar(200) not null unique, name varchar(100) not null,
			active boolean not null default true, plan text not null default 'free')`)
		public, admin := e2e.FreePort(t), e2e.FreePort(t)
		do := func(want int, args ...string) string {
			t.Helper()
			cmd := p.command(args...)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != want {
				t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out.String(), errs.String())
			}
			return out.String()
		}
		do(0, "init", "--apply", "--database", dsn, "--table", "accounts", "--url", p.publicURL,
			"--ory-public-url", fmt.Sprintf("http://127.0.0.1:%d", public), "--ory-admin-url", fmt.Sprintf("http://127.0.0.1:%d", admin))
		overlay := cmdtest.ReadFile(t, filepath.Join(p.dir, "symbolon-hooks.yml"))
		if overlay != do(0, "actions", "print", "--for", "kratos.yml") {
			t.Error("init writes other hooks than `actions print`")
		}
		p.start(t)
		k := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: []byte(overlay), PublicPort: public, AdminPort: admin})
		out := do(0, "doctor", "--live", "--kratos-config", k.ConfigFile)
		if !strings.Contains(out, "45 checks: 44 ok, 0 problems, 0 unknown, 1 skipped") || strings.Contains(out, "PROBLEM") {
			t.Error(out)
		}
		var rows int
		if err := db.QueryRowContext(t.Context(), "select count(*) from accounts").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows are left, %v", rows, err)
		}
		if n, err := k.CountIdentities(t.Context()); err != nil || n != 0 {
			t.Errorf("%d identities are left, %v", n, err)
		}
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		seen := map[string]doctor.Result{}
		for line := range strings.Lines(do(3, "doctor", "--json", "--kratos-config", k.ConfigFile)) {
			var r doctor.Result
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			seen[r.Check] = r
		}
		if r := seen["hooks.url"]; r.Verdict != doctor.Problem || !strings.Contains(r.Is, "nothing listens there") {
			t.Errorf("%+v", r)
		}
		for _, name := range doctor.Checks() {
			if seen[name].Verdict == "" {
				t.Errorf("%s is not in the JSON", name)
			}
		}
	})
}
