package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestEraseCommand(t *testing.T) {
	m := installCommands(t, nil)
	p, user := m.born(t, "cAnArY1@example.com")
	run := func(want int, says string, args ...string) string {
		t.Helper()
		code, out, errs := runIn(t, m.env, append([]string{"erase"}, args...)...)
		if all := out + errs; code != want || !strings.Contains(all, says) || strings.Contains(all, "cAnArY") {
			t.Errorf("erase %v: %d, want %d and %q:\n%s", args, code, want, says, all)
		}
		return out
	}
	run(2, "expected the ID")
	run(2, "with their own options", user, "--resume")
	run(2, "--row must be anonymise or delete", user, "--row", "shred")
	run(2, "without an e-mail address", user, "--yes", "--why", "wrote from ada@example.com")
	run(2, "not a terminal", user)
	run(1, "neither Symbolon nor Ory knows 42", "42", "--yes")
	run(0, "nothing is left to do", "--resume")

	plan := run(0, "columns are emptied: email, name, ory_identity_id", p.IdentityID, "--dry-run")
	for _, part := range []string{p.IdentityID, user, "deleted at Ory", "are kept, so that the person is never linked again"} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan lacks %q:\n%s", part, plan)
		}
	}
	var planned system.PlannedErasure
	if err := json.Unmarshal([]byte(run(0, "", user, "--dry-run", "--json", "--row", "delete")), &planned); err != nil ||
		planned.AtOry != "exists" || planned.Row != "delete" || !planned.Exists || len(planned.Columns) > 0 || !planned.New || planned.Earlier != nil {
		t.Errorf("%+v %v", planned, err)
	}
	if !m.ory.HasIdentity(p.IdentityID) || m.signIn(t, p.Token) != user {
		t.Error("a dry run changed something")
	}

	repaired := m.ory.Break(fakeory.Failing{Route: "DELETE /admin/identities/*"})
	run(1, "the server or `symbolon erase --resume` continues it", user, "--yes", "--wait", "100ms", "--why", "ticket 7")
	for wait := 100 * time.Millisecond; wait < time.Minute; wait *= 2 { // a slow machine needs time
		if _, plan, _ := runIn(t, m.env, "erase", user, "--dry-run"); strings.Contains(plan, "ory answered 500") {
			break
		}
		run(1, "", "--resume", "--wait", wait.String())
	}
	run(0, "UNDER WAY, next step: identity", user, "--dry-run")
	run(1, "ory answered 500", "--resume", "--wait", "100ms")
	repaired()
	run(0, "", "--resume") // the server may have been faster
	out := run(0, "done", user, "--yes", "--json")
	var e system.Erasure
	if err := json.Unmarshal([]byte(out), &e); err != nil || string(e.User) != user || e.Why != "ticket 7" {
		t.Errorf("%v %s", err, out)
	}
	cmdtest.WholeEvidence(t, e.Step, e.Evidence)
	if m.ory.HasIdentity(p.IdentityID) {
		t.Error("Ory still has the identity")
	}
	if again := run(0, e.ID, user, "--yes"); !strings.Contains(again, "read back: it is gone") {
		t.Error(again)
	}
	if _, err := m.DB.Exec("update symbolon_links set linked_at = '2001-02-03T04:05:06.000000Z'"); err != nil {
		t.Fatal(err)
	}
	code, shown, errs := runIn(t, m.env, "show", user)
	if !regexp.MustCompile(`(?m)^link +erased +since 20\d\d-.*, by operator$`).MatchString(shown) || strings.Contains(shown, "since 2001-") {
		t.Errorf("the output of show lacks the time and source of the erasure:\n%s%s", shown, errs)
	}
	if code != 0 || !strings.Contains(shown, "erasure") || !strings.Contains(shown, "GONE at Ory") || !strings.Contains(shown, "erased") {
		t.Errorf("%d %s", code, shown)
	}
	if code, _, errs := runIn(t, m.env, "bind", p.IdentityID, "42", "--move"); code != 1 || !strings.Contains(errs, "the identity's person was erased, so it can never be bound again") {
		t.Errorf("bind: %d %s", code, errs)
	}
	delete(m.env, "SYMBOLON_ORY_ADMIN_URL")
	run(2, "set ory.admin_url", user, "--yes")
}

// TestEraseAsks checks that the operator has to type the user's ID.
func TestEraseAsks(t *testing.T) {
	p := erase.Plan{Identity: "1d000000-0000-4000-8000-000000000001", User: "42", AtOry: "exists", Row: symbolon.DeleteRow, Exists: true}
	alone := erase.Plan{Identity: p.Identity, AtOry: "unavailable"}
	for _, test := range []struct {
		plan erase.Plan
		says string
		ok   bool
	}{{p, "42\n", true}, {p, "42", true}, {p, "y\n", false}, {p, "", false}, {p, "4\n2\n", false}, {alone, string(p.Identity) + "\n", true}} {
		var errs bytes.Buffer
		err := eraseCmd{}.ask(&cli.App{Stdio: cli.Stdio{In: strings.NewReader(test.says), Err: &errs}}, test.plan)
		if (err == nil) != test.ok || !strings.Contains(errs.String(), "This cannot be undone") || !strings.Contains(errs.String(), "at Ory") {
			t.Errorf("%q: %v\n%s", test.says, err, &errs)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var u *cli.UsageError
	if err := (eraseCmd{}).confirm(&cli.App{Stdio: cli.Stdio{In: file, Err: &bytes.Buffer{}}}, p); !errors.As(err, &u) {
		t.Errorf("the answer was read from a file: %v", err)
	}
}
