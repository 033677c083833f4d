package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// adoption is an installation with its own accounts table.
func adoption(t *testing.T) *commands {
	t.Helper()
	c := installCommands(t, nil)
	c.env["SYMBOLON_USERS_TABLE"], c.env["SYMBOLON_USERS_NEW_ID"] = "accounts", "database"
	c.env["SYMBOLON_USERS_COLUMNS"] = `{"email":"traits.email"}`
	for _, q := range []string{`create table accounts (id integer primary key, ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'), email text, verified_at timestamp)`,
		`insert into accounts (id, email, verified_at) values (1, 'one@example.org', null), (2, 'two@example.org', '2026-01-02'), (3, 'three@example.org', null)`} {
		if _, err := c.DB.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// step runs a command and checks its exit code and output.
func (c *commands) step(t *testing.T, code int, says []string, args ...string) string {
	t.Helper()
	got, out, errs := runIn(t, c.env, args...)
	if got != code {
		t.Errorf("%v: exit %d, want %d\n%s%s", args, got, code, out, errs)
	}
	for _, part := range says {
		if !strings.Contains(out+errs, part) {
			t.Errorf("the output of %v lacks %q:\n%s%s", args, part, out, errs)
		}
	}
	if strings.Contains(out+errs, "cAnArY") {
		t.Errorf("the output of %v has a secret:\n%s%s", args, out, errs)
	}
	return out
}

var runName = regexp.MustCompile(`run ([0-9a-f]{12})`)

func TestAdopt(t *testing.T) {
	c := adoption(t)
	one, _ := c.ory.Add(1)
	c.ory.Set(one, "external_id", "1")
	two, _ := c.ory.Add(2)
	c.ory.Set(two, "verifiable_addresses", []any{map[string]any{"value": "two@example.org", "via": "email", "verified": true}})
	c.ory.Add(3)

	c.step(t, 2, []string{"cannot be combined"}, "adopt", "--plan", "p.csv", "--apply", "p.csv")
	c.step(t, 2, []string{"is not a place", "metadata_public.KEY"}, "adopt", "--by", "telepathy")
	c.step(t, 2, []string{"is not a place"}, "adopt", "--by", "verified_email")
	c.step(t, 2, []string{"no column"}, "adopt", "--by", "column:nowhere")
	c.step(t, 2, []string{"no column"}, "adopt", "--by", "column:NOT_THERE")
	c.step(t, 2, []string{".csv or .json"}, "adopt", "--plan", "plan.txt")
	c.step(t, 2, []string{"no such file"}, "adopt", "--apply", "missing.csv")
	c.step(t, 1, []string{"no such run"}, "adopt", "--undo", "0123456789ab")
	c.step(t, 0, []string{"identities         3", "0 to be bound"}, "adopt")

	out := c.step(t, 0, []string{"named              1", "1 to be bound"}, "adopt", "--by", "external_id", "--plan", "plan.csv", "--plan", "plan.json")
	run := runName.FindStringSubmatch(out)[1]
	csv, err := os.ReadFile("plan.csv")
	if err != nil || !strings.Contains(string(csv), "named,"+one+",1,external_id,bind,") {
		t.Errorf("%s %v", csv, err)
	}
	if info, err := os.Stat("plan.csv"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	c.step(t, 0, []string{"class,identity_id", "1 to be bound"}, "adopt", "--by", "external_id", "--plan", "-")
	c.step(t, 0, []string{`"class":"named"`, `"bind":1`, `"run":"` + run + `"`}, "adopt", "--by", "external_id", "--plan", "-", "--json")
	c.step(t, 0, []string{"run " + run + ": 1 bound, 0 already done"}, "adopt", "--apply", "plan.csv")
	c.step(t, 0, []string{"run " + run + ": 0 bound, 1 already done"}, "adopt", "--apply", "plan.json")
	c.step(t, 0, []string{"adopt " + run + ": by external_id", "linked"}, "show", one)
	c.step(t, 0, []string{"run " + run + ": 1 undone"}, "adopt", "--undo", run)
	c.step(t, 0, []string{"user.unlinked", "adopt " + run + ": undone"}, "show", one)
	c.step(t, 0, []string{"1 bound"}, "adopt", "--apply", "plan.csv")
	c.ory.SignIn(time.Now().Add(time.Minute))
	c.step(t, 3, []string{"refused: identity " + one + ", user 1: the person signed in since", "1 refused line is left"}, "adopt", "--undo", run)
	c.step(t, 3, []string{`{"refused":{"identity_id":"` + one, `"refused":1`}, "adopt", "--undo", run, "--json")

	c.env["SYMBOLON_ADOPT_VERIFIED_EMAIL"] = "true"
	c.step(t, 2, []string{"adopt.verified_column"}, "adopt")
	c.env["SYMBOLON_ADOPT_VERIFIED_COLUMN"] = "email"
	c.step(t, 2, []string{"make it a boolean"}, "adopt")
	c.env["SYMBOLON_ADOPT_VERIFIED_COLUMN"] = "verified_at"
	c.step(t, 0, []string{"email              1"}, "adopt", "--plan", "mail.json")
	c.ory.Set(two, "verifiable_addresses", []any{map[string]any{"value": "two@example.org", "via": "email", "verified": false}})
	c.step(t, 3, []string{"refused: identity " + two, "not verified"}, "adopt", "--apply", "mail.json")
	c.step(t, 3, []string{"ambiguous          1", "1 ambiguous line is left"}, "adopt")
	c.env["SYMBOLON_ADOPT_VERIFIED_EMAIL"] = "false"
	c.step(t, 2, []string{"adopt.verified_email is off"}, "adopt", "--apply", "mail.json")

	c.ory.SetDown(true)
	c.step(t, 1, []string{"run it again"}, "adopt", "--plan", "never.csv")
	if _, err := os.Stat("never.csv"); err == nil {
		t.Error("half a plan was left")
	}
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	c.step(t, 2, []string{"SYMBOLON_ORY_ADMIN_URL"}, "adopt")
	c.step(t, 2, []string{"SYMBOLON_ORY_ADMIN_URL"}, "voucher", "3")
}

// TestAdoptNamesTheEmailAddress checks that nobody is sent to --start-fresh while equal addresses
// name users, and that a plan without a line to bind says what stays.
func TestAdoptNamesTheEmailAddress(t *testing.T) {
	c := adoption(t)
	if _, err := c.DB.Exec(`delete from symbolon_starts where project <> ''`); err != nil {
		t.Fatal(err)
	}
	for n, email := range []string{"one@example.org", "two@example.org"} {
		id, _ := c.ory.Add(n + 1)
		c.ory.Set(id, "verifiable_addresses", []any{map[string]any{"value": email, "via": "email", "verified": true}})
		c.ory.Set(id, "external_id", map[int]string{0: "1", 1: "none"}[n])
	}
	const setting = "next: set adopt.verified_email and adopt.verified_column, then symbolon adopt"
	c.step(t, 0, []string{"not used: 2 of 2 by e-mail; set adopt.verified_email and adopt.verified_column\n", setting + " --plan plan.csv\n"}, "adopt", "--plan", "none.csv")
	c.step(t, 0, []string{"not used: 2 of 2 by e-mail", "nothing was changed\nidentities that would get a new user at their next request, because Symbolon does not know them yet: 2\n", setting}, "adopt", "--start-fresh", "--dry-run")
	c.step(t, 0, []string{"0 bound", "the start stays unsettled", "next: symbolon adopt\n"}, "adopt", "--apply", "none.csv")
	c.step(t, 0, []string{"1 to be bound", "1 of 1 by e-mail", "next: read the plan"}, "adopt", "--by", "external_id", "--plan", "one.csv")
}

// TestStartFresh checks that the plain flag settles the start, without Ory's admin API, and
// leaves a person whose row was deleted alone. --renew gives the person a new user.
func TestStartFresh(t *testing.T) {
	c := adoption(t)
	id, _ := c.ory.Add(1)
	c.step(t, 0, nil, "bind", id, "1")
	if _, err := c.DB.Exec(`delete from symbolon_starts where project <> ''`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DB.Exec(`delete from accounts where id = 1`); err != nil {
		t.Fatal(err)
	}
	users := func() (n int) {
		t.Helper()
		if err := c.DB.QueryRow(`select count(*) from accounts`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	c.step(t, 2, []string{"without --start-fresh"}, "adopt", "--renew")
	c.step(t, 2, []string{"without --renew"}, "adopt", "--start-fresh", "--why", "x")
	admin := c.env["SYMBOLON_ORY_ADMIN_URL"]
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	c.step(t, 0, []string{"nothing was changed", "not known without ory.admin_url", "next: symbolon adopt --start-fresh\n"}, "adopt", "--start-fresh", "--dry-run")
	c.step(t, 0, []string{"the start is settled", "next: symbolon serve\n"}, "adopt", "--start-fresh")
	c.step(t, 2, []string{"SYMBOLON_ORY_ADMIN_URL"}, "adopt", "--start-fresh", "--renew")
	c.env["SYMBOLON_ORY_ADMIN_URL"] = admin
	c.step(t, 0, []string{`"settled":true`}, "adopt", "--start-fresh", "--json")
	var settled int
	if err := c.DB.QueryRow(`select count(*) from symbolon_starts where settled_at is not null`).Scan(&settled); err != nil || settled != 1 || users() != 2 {
		t.Errorf("after --start-fresh: %d users, %d settled starts, %v", users(), settled, err)
	}
	c.step(t, 0, []string{"a new user for identity " + id + ": user_gone, user 1\n", "identities that would get a new user at once: 1\n", "next: symbolon adopt --start-fresh --renew\n"}, "adopt", "--start-fresh", "--renew", "--dry-run")
	if n := users(); n != 2 {
		t.Errorf("%d users after the dry run", n)
	}
	c.step(t, 0, []string{"1 got a new user\n"}, "adopt", "--start-fresh", "--renew", "--why", "the database was made anew")
	if n := users(); n != 3 {
		t.Errorf("%d users after --renew", n)
	}
}

func TestVoucher(t *testing.T) {
	c := adoption(t)
	text := c.step(t, 0, nil, "voucher", "3", "--json")
	var v map[string]map[string]string
	if err := json.Unmarshal([]byte(text), &v); err != nil || v["symbolon"]["user"] != "3" || strings.Count(text, "\n") != 1 {
		t.Fatalf("%s %v", text, err)
	}
	c.step(t, 0, []string{v["symbolon"]["proof"]}, "voucher", "3")
	id, _ := c.ory.Add(1)
	c.ory.Set(id, "metadata_admin", v)
	c.step(t, 0, []string{"voucher            1"}, "adopt")
	c.step(t, 0, []string{"linked"}, "reconcile", "--repair", "--only", "unlinked_identity")
	c.step(t, 1, []string{"has an identity already: " + id, "symbolon show 3"}, "voucher", "3")
	c.step(t, 1, []string{"no row"}, "voucher", "99")
	c.step(t, 1, []string{"no row"}, "voucher", "x\x1b[2J")
}

// TestStepLine checks that a terminal gets one line that changes, and a log gets few
// lines.
func TestStepLine(t *testing.T) {
	var plainly, live strings.Builder
	for _, p := range []*cli.Progress{{Out: &plainly}, {Out: &live, Live: true}} {
		for n := range 25 {
			adoptProgress(p)(adopt.Progress{Phase: adopt.Binding, Done: n * 1000, Of: 100_000, Elapsed: time.Duration(n) * time.Second})
		}
		p.End()
	}
	if got := plainly.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "binding: 10000 of 100000, 1000/s, about 1m30s left") {
		t.Errorf("%q", got)
	}
	if got := live.String(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("%q", got)
	}
}
