package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// mortals is an installation on a fake Ory that can delete identities.
type mortals struct {
	*installation
	fake *fakeory.Ory
	env  environ
}

func installMortals(t *testing.T, change func(*Config)) *mortals {
	t.Helper()
	m := &mortals{fake: fakeory.Start(t, fakeory.Config{})}
	m.installation = install(t, func(c *Config) {
		c.Ory.PublicURL, c.Ory.AdminURL, c.Ory.Token = m.fake.PublicURL, m.fake.AdminURL, ""
		if change != nil {
			change(c)
		}
	})
	t.Chdir(t.TempDir())
	m.env = environment("SYMBOLON_DATABASE", m.config.Database.Reveal(), "SYMBOLON_ORY_PUBLIC_URL", m.fake.PublicURL, "SYMBOLON_ORY_ADMIN_URL", m.fake.AdminURL)
	return m
}

// born signs somebody up and in.
func (m *mortals) born(t *testing.T, email string) (p *symbolontest.Person, user string) {
	t.Helper()
	p, err := m.fake.Register(t.Context(), email, testPassword, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	return p, m.signIn(t, p.Token)
}

func (m *mortals) alive(t *testing.T, p *symbolontest.Person) bool {
	t.Helper()
	_, status, err := m.fake.GetIdentity(t.Context(), p.IdentityID)
	if err != nil {
		t.Fatal(err)
	}
	return status == 200
}

func TestEraseCommand(t *testing.T) {
	m := installMortals(t, nil)
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
	run(2, "as it was asked for", user, "--resume")
	run(2, "--row is anonymise or delete", user, "--row", "shred")
	run(2, "no e-mail address", user, "--yes", "--why", "wrote from ada@example.com")
	run(2, "no terminal", user)
	run(1, "nothing is known of 42", "42", "--yes")
	run(0, "nothing is left to do", "--resume")

	plan := run(0, "columns emptied: email, name, ory_identity_id", p.IdentityID, "--dry-run")
	for _, part := range []string{p.IdentityID, user, "deleted at Ory", "stay, so that nothing brings the person back"} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan does not say %q:\n%s", part, plan)
		}
	}
	var planned plannedErasure
	if err := json.Unmarshal([]byte(run(0, "", user, "--dry-run", "--json", "--row", "delete")), &planned); err != nil ||
		planned.AtOry != "exists" || planned.Row != "delete" || !planned.Exists || planned.Earlier != nil {
		t.Errorf("%+v %v", planned, err)
	}
	if !m.alive(t, p) || m.signIn(t, p.Token) != user {
		t.Error("a dry run changed something")
	}

	mend := m.fake.Break(fakeory.Failing{Route: "DELETE /admin/identities/*"})
	run(1, "goes on with the server, or with `symbolon erase --resume`", user, "--yes", "--wait", "100ms", "--why", "ticket 7")
	for wait := 100 * time.Millisecond; wait < time.Minute; wait *= 2 { // what a slow machine needs to come so far
		if _, plan, _ := runIn(t, m.env, "erase", user, "--dry-run"); strings.Contains(plan, "ory answered 500") {
			break
		}
		run(1, "", "--resume", "--wait", wait.String())
	}
	run(0, "UNDER WAY, next step: identity", user, "--dry-run")
	run(1, "ory answered 500", "--resume", "--wait", "100ms")
	mend()
	run(0, "", "--resume") // the server may have been faster
	out := run(0, "done", user, "--yes", "--json")
	var e erasure
	if err := json.Unmarshal([]byte(out), &e); err != nil || string(e.User) != user || e.Why != "ticket 7" {
		t.Errorf("%v %s", err, out)
	}
	complete(t, &e)
	if m.alive(t, p) {
		t.Error("Ory still has the identity")
	}
	if again := run(0, e.ID, user, "--yes"); !strings.Contains(again, "read back: it is gone") {
		t.Error(again)
	}
	code, shown, _ := runIn(t, m.env, "show", user)
	if code != 0 || !strings.Contains(shown, "erasure") || !strings.Contains(shown, "GONE at Ory") || !strings.Contains(shown, "erased") {
		t.Errorf("%d %s", code, shown)
	}
	delete(m.env, "SYMBOLON_ORY_ADMIN_URL")
	run(2, "set ory.admin_url", user, "--yes")
}

// TestEraseAsks: the operator has to type the user's ID.
func TestEraseAsks(t *testing.T) {
	p := erase.Plan{Identity: "1d000000-0000-4000-8000-000000000001", User: "42", AtOry: "exists", Row: symbolon.DeleteRow, Exists: true}
	alone := erase.Plan{Identity: p.Identity, AtOry: "unavailable"}
	for _, test := range []struct {
		plan erase.Plan
		says string
		ok   bool
	}{{p, "42\n", true}, {p, "42", true}, {p, "y\n", false}, {p, "", false}, {p, "4\n2\n", false}, {alone, string(p.Identity) + "\n", true}} {
		var errs bytes.Buffer
		err := eraseCmd{}.ask(&app{stdio: stdio{in: strings.NewReader(test.says), err: &errs}}, test.plan)
		if (err == nil) != test.ok || !strings.Contains(errs.String(), "Nothing brings it back") || !strings.Contains(errs.String(), "at Ory") {
			t.Errorf("%q: %v\n%s", test.says, err, &errs)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var u *usageError
	if err := (eraseCmd{}).confirm(&app{stdio: stdio{in: file, err: &bytes.Buffer{}}}, p); !errors.As(err, &u) {
		t.Errorf("a file answers for the operator: %v", err)
	}
}

func TestAdminErase(t *testing.T) {
	m := installMortals(t, nil)
	side := m.operator()
	decode := func(body string) erasure {
		t.Helper()
		var answer struct{ Erasure erasure }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return answer.Erasure
	}
	p, user := m.born(t, "cAnArY1@example.com")
	for name, path := range map[string]string{
		"a row policy that keeps": "/admin/users/" + user + "?row=keep",
		"an unknown key":          "/admin/users/" + user + "?rwo=delete",
		"a key twice":             "/admin/users/" + user + "?row=delete&row=delete",
		"why of two lines":        "/admin/users/" + user + "?why=a%0Ab",
		"why with an address":     "/admin/users/" + user + "?why=a@b.c",
		"no UUID":                 "/admin/identities/42",
	} {
		if w := ask(side, "DELETE", path, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_request") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for name, path := range map[string]string{
		"nobody's user": "/admin/users/42", "nobody's identity": "/admin/identities/1d000000-0000-4000-8000-999999999999",
		"an identity as a user": "/admin/users/" + p.IdentityID, "a user as an identity": "/admin/identities/" + user,
	} {
		if w := ask(side, "DELETE", path, ""); w.Code != 404 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, id := range []string{"42", "1d000000-0000-4000-8000-999999999999", "%00"} {
		if w := ask(side, "GET", "/admin/erasures/"+id, ""); w.Code != 404 {
			t.Errorf("erasure %s: %d %s", id, w.Code, w.Body)
		}
	}
	if w := ask(side, "PUT", "/admin/users/"+user, ""); w.Code != 405 || w.Header().Get("Allow") != "DELETE, GET" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if m.signIn(t, p.Token) != user {
		t.Fatal("somebody was erased")
	}

	// Ory does not delete: 202, denied at once, and it goes on by itself.
	mend := m.fake.Break(fakeory.Failing{Route: "DELETE /admin/identities/*", Status: 503})
	var w *httptest.ResponseRecorder
	var e erasure
	eventually(t, "it is as far as it can come", func() bool { // a request waits two seconds
		w = ask(side, "DELETE", "/admin/users/"+user+"?row=delete&why=ticket+7", "")
		e = decode(w.Body.String())
		return w.Code != 202 || e.Step == symbolon.EraseIdentity
	})
	if w.Code != 202 || w.Header().Get("Location") != "/admin/erasures/"+e.ID || e.Done || e.Step != symbolon.EraseIdentity || e.Row != "delete" || e.Why != "ticket 7" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := ask(m.public(), "GET", "/auth", "", "X-Session-Token", p.Token); w.Code != 401 && w.Code != 403 {
		t.Errorf("the session is answered %d", w.Code)
	}
	if w := ask(side, "DELETE", "/admin/identities/"+p.IdentityID, ""); w.Code != 202 || decode(w.Body.String()).ID != e.ID {
		t.Errorf("asked again: %d %s", w.Code, w.Body)
	}
	mend()
	carried := func(path string) bool {
		w = ask(side, "DELETE", path, "")
		return w.Code != 202
	}
	eventually(t, "it was carried on", func() bool { return carried("/admin/users/" + user) })
	if w.Code != 200 || decode(w.Body.String()).ID != e.ID {
		t.Errorf("carried on: %d %s", w.Code, w.Body)
	}
	w = ask(side, "GET", "/admin/erasures/"+e.ID, "")
	e = decode(w.Body.String())
	complete(t, &e)
	if w.Code != 200 || m.alive(t, p) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(side, "GET", "/admin/users/"+user, ""); w.Code != 200 || !strings.Contains(w.Body.String(), e.ID) || strings.Contains(w.Body.String(), "cAnArY") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	// An identity that Symbolon has never heard of.
	p, err := m.fake.Register(t.Context(), "cAnArY2@example.com", testPassword, "cAnArY")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a stranger is erased", func() bool { return carried("/admin/identities/" + strings.ToUpper(p.IdentityID)) })
	if w.Code != 200 || m.alive(t, p) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(m.logs.String(), "cAnArY") {
		t.Errorf("the log shows what it must not:\n%s", m.logs)
	}
}

// TestAdminEraseNeedsOry: what erases half a person is refused.
// patientOry notes how long its questions would wait for their turn.
type patientOry struct {
	symbolon.Ory
	patience time.Duration
}

func (o *patientOry) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	p, _ := symbolon.PatienceFrom(ctx)
	o.patience = p.For
	return o.Ory.Identity(ctx, id)
}

// TestErasuresWaitForTheirTurn: at eight readings a minute, a tenth of Ory Network's
// eighty, an erasure that goes on waits for its turn, and does not count that as a
// failure after which it rests longer and longer.
func TestErasuresWaitForTheirTurn(t *testing.T) {
	m := installMortals(t, nil)
	p, err := m.fake.Register(t.Context(), "cAnArY@example.com", testPassword, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	ory, other := &patientOry{Ory: m.linker.Ory}, *m.system // of a project of its own: the server's schedule does not look there
	other.linker = &link.Linker{Ory: ory, Store: m.store, Project: "another", Secrets: m.config.secrets(), Log: m.log}
	server := &parts{system: &other}
	begun, err := server.erasures().Begin(t.Context(), erase.Request{ID: p.IdentityID})
	if err != nil {
		t.Fatal(err)
	}
	const long = "2020-01-01T00:00:00.000000Z"
	if _, err := m.db.Exec(`update symbolon_erasures set requested_at = $1, updated_at = $1`, long); err != nil {
		t.Fatal(err)
	}
	if err := server.resumeErasures(t.Context(), work.Job{}); err != nil {
		t.Fatal(err)
	}
	if done, err := server.erasures().Get(t.Context(), begun.ID); err != nil || !done.Done() || ory.patience < time.Minute {
		t.Errorf("%+v %v, its questions wait %s", done, err, ory.patience)
	}
}

func TestAdminEraseNeedsOry(t *testing.T) {
	m := installMortals(t, func(c *Config) { c.Ory.AdminURL = "" })
	_, user := m.born(t, "a@example.com")
	if w := ask(m.operator(), "DELETE", "/admin/users/"+user, ""); w.Code != 409 || !strings.Contains(w.Body.String(), "ory.admin_url") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestServerCarriesErasuresOn: the server carries on what was begun elsewhere.
func TestServerCarriesErasuresOn(t *testing.T) {
	m := installMortals(t, nil)
	p, user := m.born(t, "a@example.com")
	e := m.erasures()
	begun, err := e.Begin(t.Context(), erase.Request{ID: user})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Exec(`update symbolon_erasures set updated_at = '2026-01-01T00:00:00.000000Z'`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the erasure is done", func() bool {
		now, err := e.Get(t.Context(), begun.ID)
		return err == nil && now.Done()
	})
	if m.alive(t, p) {
		t.Error("Ory still has the identity")
	}
}
