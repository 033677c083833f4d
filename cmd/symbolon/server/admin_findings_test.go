package server

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/reconcile"
)

type findingsAnswer struct {
	Findings []openFinding
	Next     string
}

func (i *installation) findings(t *testing.T, query string) (out findingsAnswer) {
	t.Helper()
	w := cmdtest.Ask(i.Operator(), "GET", "/admin/findings"+query, "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return out
}

// reconcileNow starts a run by the admin API and waits for its end.
func (i *installation) reconcileNow(t *testing.T, body string) (run operatorRun) {
	t.Helper()
	var out struct{ Run operatorRun }
	w := cmdtest.Ask(i.Operator(), "POST", "/admin/reconcile", body)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 202 || out.Run.ID == "" || out.Run.State != symbolon.RunGoing {
		t.Fatalf("%s: %d %s", body, w.Code, w.Body)
	}
	id := out.Run.ID
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		w = cmdtest.Ask(i.Operator(), "GET", "/admin/reconcile/"+id, "")
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 || out.Run.ID != id {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if out.Run.State != symbolon.RunGoing {
			return out.Run
		}
	}
	t.Fatal("the run does not end")
	return run
}

func TestAdminReconcile(t *testing.T) {
	i := install(t, nil)
	for n := range 3 {
		i.ory.Add(n + 1)
	}
	odd, _ := i.ory.Add(4)
	i.ory.Set(odd, "metadata_public", map[string]any{"id": "legacy"})
	if run := i.reconcileNow(t, ""); run.State != symbolon.RunDone || run.Repair || run.Report.Left[reconcile.UnlinkedIdentity] != 4 {
		t.Errorf("a dry run: %+v %+v", run, run.Report)
	}
	if n := len(i.findings(t, "").Findings); n != 0 {
		t.Errorf("a dry run recorded %d findings", n)
	}
	run := i.reconcileNow(t, `{"repair":true,"only":["unlinked_identity","foreign_back_reference"]}`)
	if run.State != symbolon.RunDone || !run.Repair || run.Report.Repaired[reconcile.UnlinkedIdentity] != 4 || run.Report.Left[symbolon.ForeignBackReference] != 1 {
		t.Errorf("%+v %+v", run, run.Report)
	}
	if got := i.findings(t, "?kind=foreign_back_reference"); len(got.Findings) != 1 || string(got.Findings[0].Identity) != odd || got.Findings[0].Repairable {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{`symbolon_findings_open{kind="foreign_back_reference"} 1`, `symbolon_findings_open{kind="user_gone"} 0`, `symbolon_reconcile_runs_total{result="done"} 2`} {
		cmdtest.Eventually(t, "the metrics say: "+want, func() bool { // if the count is slow, the next one follows after 15 s
			return strings.Contains(cmdtest.Ask(i.Operator(), "GET", "/metrics", "").Body.String(), want)
		})
	}
	i.ory.SetDown(true)
	if run := i.reconcileNow(t, `{"repair":true}`); run.State != symbolon.RunFailed || run.Error == "" || run.Report.Complete {
		t.Errorf("Ory is down: %+v", run)
	}
	if logs := i.logs.String(); strings.Contains(logs, "cAnArY") {
		t.Errorf("the log has a secret:\n%s", logs)
	}
}

// TestPass runs the schedule: slices until the pass is done. A second pass changes
// nothing.
func TestPass(t *testing.T) {
	i := install(t, nil)
	for n := range 3 {
		i.ory.Add(n + 1)
	}
	for range 2 {
		if err := i.pass(t.Context(), work.Job{}); err != nil {
			t.Error(err)
		}
	}
	var users int
	if err := i.DB.QueryRow("select count(*) from symbolon_users").Scan(&users); err != nil || users != 3 {
		t.Errorf("%d users, %v", users, err)
	}
	alive := symbolon.Run{ID: "other", Project: "default", Kind: reconcile.Kind, State: symbolon.RunGoing, LeaseUntil: time.Now().Add(time.Minute)}
	if err := i.Store.StartRun(t.Context(), alive); err != nil {
		t.Fatal(err)
	}
	// The other run may have been killed, so the long pause until the next pass must not
	// begin.
	if err := i.pass(t.Context(), work.Job{}); err == nil || err.Error() != work.Again(busyPause).Error() {
		t.Errorf("another replica has the lease: %v", err)
	}
	if _, err := i.DB.Exec("delete from symbolon_runs"); err != nil {
		t.Fatal(err)
	}
	i.ory.SetDown(true)
	if err := i.pass(t.Context(), work.Job{}); err == nil {
		t.Error("Ory is down, but the pass reports no error")
	}
}

// TestAdminFindingsPages checks that every finding is on exactly one page, in order, and
// that a cursor works only for its own query.
func TestAdminFindingsPages(t *testing.T) {
	i := install(t, nil)
	var open []symbolon.Finding
	for n := range 25 {
		id := symbolon.IdentityID(fmt.Sprintf("1d000000-0000-4000-8000-%012d", n+1))
		open = append(open, symbolon.Finding{Identity: id, Kind: symbolon.UserGone, User: "42", Detail: "gone\n"}, symbolon.Finding{Identity: id, Kind: reconcile.StaleColumns})
	}
	if err := i.Store.RecordFindings(t.Context(), "default", symbolon.FromReconcile, open, nil); err != nil {
		t.Fatal(err)
	}
	for _, query := range []struct {
		filter string
		want   int
	}{{"", 50}, {"&kind=user_gone", 25}, {"&kind=moved", 0}} {
		seen, last, after := map[int64]bool{}, "", ""
		for {
			page := i.findings(t, "?limit=7"+query.filter+after)
			for _, f := range page.Findings {
				if at := string(f.Identity) + string(f.Kind); seen[f.ID] || at <= last || f.Detail == "gone\n" {
					t.Errorf("finding %+v is listed after %s", f, last)
				} else {
					seen[f.ID], last = true, at
				}
			}
			if page.Next == "" {
				break
			}
			if len(page.Findings) != 7 {
				t.Errorf("%d findings on a page that is not the last", len(page.Findings))
			}
			after = "&after=" + page.Next
		}
		if len(seen) != query.want {
			t.Errorf("%s: %d findings", query.filter, len(seen))
		}
	}
	next := i.findings(t, "?limit=7").Next
	foreign := install(t, func(c *config.Config) { c.Secret = cmdtest.Key + "another secret 0123" })
	project := install(t, func(c *config.Config) { c.Ory.Project = "another" })
	for name, w := range map[string]*httptest.ResponseRecorder{
		"of another query":   cmdtest.Ask(i.Operator(), "GET", "/admin/findings?kind=user_gone&after="+next, ""),
		"of another secret":  cmdtest.Ask(foreign.Operator(), "GET", "/admin/findings?after="+next, ""),
		"of another project": cmdtest.Ask(project.Operator(), "GET", "/admin/findings?after="+next, ""),
	} {
		if w.Code != 400 {
			t.Errorf("a cursor %s: %d %s", name, w.Code, w.Body)
		}
	}
	if n := len(i.findings(t, "?limit=1000&after="+next).Findings); n != 43 {
		t.Errorf("with another limit: %d", n)
	}
	c := newCursors(i.Config.Secrets())
	c.now = func() time.Time { return time.Now().Add(-25 * time.Hour) }
	old := c.seal([]string{"findings", "default", ""}, string(open[0].Identity), "user_gone")
	if w := cmdtest.Ask(i.Operator(), "GET", "/admin/findings?after="+old, ""); w.Code != 400 {
		t.Errorf("an old cursor: %d", w.Code)
	}
}

func TestAdminFindingsBadInput(t *testing.T) {
	i := install(t, nil)
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/admin/findings?limit=0", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=-1", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=1000000000", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=1.5", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=+1", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=07", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=", "", 400, "invalid_request"},
		{"GET", "/admin/findings?limit=1&limit=2", "", 400, "invalid_request"},
		{"GET", "/admin/findings?kind=telepathy", "", 400, "invalid_request"},
		{"GET", "/admin/findings?kind=", "", 400, "invalid_request"},
		{"GET", "/admin/findings?kind=user_gone'--", "", 400, "invalid_request"},
		{"GET", "/admin/findings?after=", "", 400, "invalid_request"},
		{"GET", "/admin/findings?after=abc", "", 400, "invalid_request"},
		{"GET", "/admin/findings?after=" + strings.Repeat("A", 2000), "", 400, "invalid_request"},
		{"GET", "/admin/findings?after=" + strings.Repeat("A", 10<<10), "", 400, "invalid_request"},
		{"GET", "/admin/findings?page=1", "", 400, "invalid_request"},
		{"GET", "/admin/findings?%zz", "", 400, "invalid_request"},
		{"GET", "/admin/findings?a;b", "", 400, "invalid_request"},
		{"POST", "/admin/findings", "{}", 405, "method_not_allowed"},
		{"GET", "/admin/findings/", "", 404, "not_found"},
		{"POST", "/admin/findings/0/repair", "", 400, "invalid_request"},
		{"POST", "/admin/findings/-1/repair", "", 400, "invalid_request"},
		{"POST", "/admin/findings/01/repair", "", 400, "invalid_request"},
		{"POST", "/admin/findings/1e3/repair", "", 400, "invalid_request"},
		{"POST", "/admin/findings/99999999999999999999/repair", "", 400, "invalid_request"},
		{"POST", "/admin/findings/7/repair", "", 404, "not_found"},
		{"GET", "/admin/findings/7/repair", "", 405, "method_not_allowed"},
		{"GET", "/admin/reconcile", "", 405, "method_not_allowed"},
		{"GET", "/admin/reconcile/7", "", 404, "not_found"},
		{"POST", "/admin/reconcile", " ", 400, "invalid_json"},
		{"POST", "/admin/reconcile", "[]", 400, "invalid_json"},
		{"POST", "/admin/reconcile", `{"repair":true,"repair":false}`, 400, "invalid_json"},
		{"POST", "/admin/reconcile", `{"repare":true}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"repair":"true"}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"repair":null}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"only":"user_gone"}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"only":["telepathy"]}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"allow_missing":-1}`, 400, "invalid_request"},
		{"POST", "/admin/reconcile", `{"allow_missing":1.5}`, 400, "invalid_request"},
	} {
		w := cmdtest.Ask(i.Operator(), test.method, test.path, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), `{"error":{"code":"`+test.code+`","message":"`) {
			t.Errorf("%s %.80s %s: %d %s; want %d %s", test.method, test.path, test.body, w.Code, w.Body, test.status, test.code)
		}
	}
	without := install(t, func(c *config.Config) { c.Ory.AdminURL, c.Ory.Token = "", "" })
	if w := cmdtest.Ask(without.Operator(), "POST", "/admin/reconcile", `{}`); w.Code != 409 {
		t.Errorf("no admin API: %d %s", w.Code, w.Body)
	}
}

// TestAdminRepair repairs one finding of every kind that can be repaired. For the other
// kinds the answer says who settles them.
func TestAdminRepair(t *testing.T) {
	i := install(t, func(c *config.Config) { c.Deletion.ProofGap = 10 * time.Millisecond })
	known, token := i.ory.Add(1)
	i.signIn(t, token)
	id, _ := i.ory.Add(2)
	open := func(kind symbolon.FindingKind, id string) string {
		t.Helper()
		if err := i.Store.RecordFindings(t.Context(), "default", symbolon.FromReconcile, []symbolon.Finding{{Identity: symbolon.IdentityID(id), Kind: kind}}, nil); err != nil {
			t.Fatal(err)
		}
		for _, f := range i.findings(t, "?kind="+string(kind)).Findings {
			if string(f.Identity) == id {
				return fmt.Sprintf("/admin/findings/%d/repair", f.ID)
			}
		}
		t.Fatal("the finding is not open")
		return ""
	}
	isOpen := func(kind symbolon.FindingKind) bool { return len(i.findings(t, "?kind="+string(kind)).Findings) > 0 }
	repair := func(path string) (int, string) {
		w := cmdtest.Ask(i.Operator(), "POST", path, "")
		return w.Code, w.Body.String()
	}
	path := open(reconcile.UnlinkedIdentity, id)
	if status, body := repair(path); status != 200 || !strings.Contains(body, `"repaired"`) || isOpen(reconcile.UnlinkedIdentity) {
		t.Errorf("unlinked: %d %s", status, body)
	}
	if status, _ := repair(path); status != 404 {
		t.Errorf("again: %d", status)
	}
	if _, err := i.DB.Exec("update symbolon_users set active = 0 where ory_identity_id = ?", id); err != nil {
		t.Fatal(err)
	}
	if status, body := repair(open(reconcile.StateMismatch, id)); status != 200 || isOpen(reconcile.StateMismatch) {
		t.Errorf("state: %d %s", status, body)
	}
	var active bool
	if err := i.DB.QueryRow("select active from symbolon_users where ory_identity_id = ?", id).Scan(&active); err != nil || !active {
		t.Errorf("the back-reference was not written: %v", err)
	}
	for _, kind := range []symbolon.FindingKind{symbolon.Moved, symbolon.UserGone, symbolon.ForeignBackReference} {
		if status, body := repair(open(kind, id)); status != 409 || !strings.Contains(body, "/admin/links") || !isOpen(kind) {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
	path = open(reconcile.OrphanUser, id)
	if status, body := repair(path); status != 202 || !strings.Contains(body, `"proving"`) {
		t.Errorf("orphan: %d %s", status, body)
	}
	i.repairs.wg.Wait()
	if !isOpen(reconcile.OrphanUser) {
		t.Error("Ory has the identity, but its link was ended")
	}
	i.ory.Set(id, "", nil)
	if status, body := repair(path); status != 202 {
		t.Errorf("orphan: %d %s", status, body)
	}
	i.repairs.wg.Wait()
	if w := cmdtest.Ask(i.Operator(), "GET", "/admin/identities/"+id, ""); isOpen(reconcile.OrphanUser) || !strings.Contains(w.Body.String(), `"state":"gone"`) {
		t.Errorf("the link was not ended: %s", w.Body)
	}
	i.ory.SetDown(true)
	if status, body := repair(open(reconcile.StaleColumns, known)); status != 503 {
		t.Errorf("Ory is down: %d %s", status, body)
	}
}
