package server

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestAdminErase(t *testing.T) {
	t.Parallel()
	m := install(t, nil)
	side := m.Operator()
	decode := func(body string) system.Erasure {
		t.Helper()
		var answer struct{ Erasure system.Erasure }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return answer.Erasure
	}
	p, user := m.born(t, "cAnArY1@example.com")
	for name, path := range map[string]string{
		"a row policy that keeps":              "/admin/users/" + user + "?row=keep",
		"an unknown key":                       "/admin/users/" + user + "?rwo=delete",
		"a key twice":                          "/admin/users/" + user + "?row=delete&row=delete",
		"why of two lines":                     "/admin/users/" + user + "?why=a%0Ab",
		"why with an address":                  "/admin/users/" + user + "?why=a@b.c",
		"a dry run of a row policy that keeps": "/admin/users/" + user + "?dry_run=true&row=keep",
		"a misspelt dry run":                   "/admin/users/" + user + "?dry-run=true",
		"a dry run that says yes":              "/admin/users/" + user + "?dry_run=yes",
		"a dry run without a value":            "/admin/users/" + user + "?dry_run",
		"a dry run twice":                      "/admin/users/" + user + "?dry_run=true&dry_run=false",
		"no UUID":                              "/admin/identities/42",
	} {
		if w := cmdtest.Ask(side, "DELETE", path, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_request") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for name, path := range map[string]string{
		"an unknown user": "/admin/users/42", "an unknown identity": "/admin/identities/1d000000-0000-4000-8000-999999999999",
		"an identity as a user": "/admin/users/" + p.IdentityID, "a user as an identity": "/admin/identities/" + user,
	} {
		for _, query := range []string{"", "?dry_run=true"} {
			if w := cmdtest.Ask(side, "DELETE", path+query, ""); w.Code != 404 {
				t.Errorf("%s%s: %d %s", name, query, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"/admin/users/" + user, "/admin/identities/" + p.IdentityID} {
		w := cmdtest.Ask(side, "DELETE", path+"?dry_run=true&row=delete&why=ticket+7", "")
		var answer struct{ Plan system.PlannedErasure }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
			t.Fatalf("%v: %d %s", err, w.Code, w.Body)
		}
		if plan := answer.Plan; string(plan.Identity) != p.IdentityID || string(plan.User) != user || plan.AtOry != "exists" || plan.Row != "delete" || !plan.Exists || plan.Columns == nil || len(plan.Columns) > 0 || !plan.New || plan.Earlier != nil {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	for _, id := range []string{"42", "1d000000-0000-4000-8000-999999999999", "%00"} {
		if w := cmdtest.Ask(side, "GET", "/admin/erasures/"+id, ""); w.Code != 404 {
			t.Errorf("erasure %s: %d %s", id, w.Code, w.Body)
		}
	}
	if w := cmdtest.Ask(side, "PUT", "/admin/users/"+user, ""); w.Code != 405 || w.Header().Get("Allow") != "DELETE, GET" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if m.signIn(t, p.Token) != user {
		t.Fatal("a person was erased")
	}

	// Ory does not delete: the answer is 202, the identity is denied at once, and the
	// erasure continues by itself.
	repaired := m.ory.Break(fakeory.Failing{Route: "DELETE /admin/identities/*", Status: 503})
	var w *httptest.ResponseRecorder
	var e system.Erasure
	cmdtest.Eventually(t, "the erasure waits for Ory", func() bool { // a request waits two seconds
		w = cmdtest.Ask(side, "DELETE", "/admin/users/"+user+"?row=delete&why=ticket+7", "")
		e = decode(w.Body.String())
		return w.Code != 202 || e.Step == erase.StepIdentity
	})
	if w.Code != 202 || w.Header().Get("Location") != "/admin/erasures/"+e.ID || e.Done || e.Step != erase.StepIdentity || e.Row != "delete" || e.Why != "ticket 7" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := cmdtest.Ask(m.Public(), "GET", "/auth", "", "X-Session-Token", p.Token); w.Code != 401 && w.Code != 403 {
		t.Errorf("the request with the session got %d", w.Code)
	}
	if w := cmdtest.Ask(side, "DELETE", "/admin/identities/"+p.IdentityID, ""); w.Code != 202 || decode(w.Body.String()).ID != e.ID {
		t.Errorf("asked again: %d %s", w.Code, w.Body)
	}
	repaired()
	carried := func(path string) bool {
		w = cmdtest.Ask(side, "DELETE", path, "")
		return w.Code != 202
	}
	cmdtest.Eventually(t, "the server continues the erasure", func() bool { return carried("/admin/users/" + user) })
	if w.Code != 200 || decode(w.Body.String()).ID != e.ID {
		t.Errorf("carried on: %d %s", w.Code, w.Body)
	}
	w = cmdtest.Ask(side, "GET", "/admin/erasures/"+e.ID, "")
	e = decode(w.Body.String())
	cmdtest.WholeEvidence(t, e.Step, e.Evidence)
	if !e.Done || e.DoneAt == nil || w.Code != 200 || m.ory.HasIdentity(p.IdentityID) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := cmdtest.Ask(side, "GET", "/admin/users/"+user, ""); w.Code != 200 || !strings.Contains(w.Body.String(), e.ID) || strings.Contains(w.Body.String(), "cAnArY") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	// An identity that Symbolon does not know.
	p, err := m.ory.Register(t.Context(), "cAnArY2@example.com", cmdtest.Password, "cAnArY")
	if err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "an unknown identity is erased", func() bool { return carried("/admin/identities/" + strings.ToUpper(p.IdentityID)) })
	if w.Code != 200 || m.ory.HasIdentity(p.IdentityID) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(m.logs.String(), "cAnArY") {
		t.Errorf("the log has a secret:\n%s", m.logs)
	}
}

// patientOry records how long its questions may wait for their turn.
type patientOry struct {
	symbolon.Ory
	patience time.Duration
}

func (o *patientOry) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	p, _ := symbolon.PatienceFrom(ctx)
	o.patience = p.For
	return o.Ory.Identity(ctx, id)
}

// TestErasuresWaitForTheirTurn checks that a resumed erasure waits for its turn at Ory's
// rate limit. If it failed instead, each failure would make its next pause longer. Ory
// Network allows eight readings a minute here, a tenth of eighty.
func TestErasuresWaitForTheirTurn(t *testing.T) {
	m := install(t, nil)
	p, err := m.ory.Register(t.Context(), "cAnArY@example.com", cmdtest.Password, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	ory, other := &patientOry{Ory: m.Linker.Ory}, *m.System // another project, so the server's own schedule ignores it
	other.Linker = &link.Linker{Ory: ory, Store: m.Store, Project: "another", Secrets: m.Config.Secrets(), Log: m.log}
	server := &Server{System: &other}
	begun, err := server.Erasures().Begin(t.Context(), erase.Request{ID: p.IdentityID})
	if err != nil {
		t.Fatal(err)
	}
	const long = "2020-01-01T00:00:00.000000Z"
	if _, err := m.DB.Exec(`update symbolon_erasures set requested_at = $1, updated_at = $1`, long); err != nil {
		t.Fatal(err)
	}
	if err := server.resumeErasures(t.Context(), work.Job{}); err != nil {
		t.Fatal(err)
	}
	if done, err := server.Erasures().Get(t.Context(), begun.ID); err != nil || !done.Done() || ory.patience < time.Minute {
		t.Errorf("%+v %v, its questions may wait %s", done, err, ory.patience)
	}
}

// TestAdminEraseNeedsOry checks that an erasure is refused if Symbolon cannot erase the
// identity.
func TestAdminEraseNeedsOry(t *testing.T) {
	m := install(t, func(c *config.Config) { c.Ory.AdminURL = "" })
	_, user := m.born(t, "a@example.com")
	if w := cmdtest.Ask(m.Operator(), "DELETE", "/admin/users/"+user, ""); w.Code != 409 || !strings.Contains(w.Body.String(), "ory.admin_url") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestServerCarriesErasuresOn checks that the server resumes erasures that another
// process began.
func TestServerCarriesErasuresOn(t *testing.T) {
	m := install(t, nil)
	p, user := m.born(t, "a@example.com")
	e := m.Erasures()
	begun, err := e.Begin(t.Context(), erase.Request{ID: user})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.DB.Exec(`update symbolon_erasures set updated_at = '2026-01-01T00:00:00.000000Z'`); err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "the erasure is done", func() bool {
		now, err := e.Get(t.Context(), begun.ID)
		return err == nil && now.Done()
	})
	if m.ory.HasIdentity(p.IdentityID) {
		t.Error("Ory still has the identity")
	}
}
