package server

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// openWorld opens a second connection to a world's database.
func openWorld(t *testing.T, database string) (db *sql.DB, dialect string) {
	t.Helper()
	driver, dsn, dialect := "pgx", database, "postgres"
	if path, ok := strings.CutPrefix(database, "sqlite://"); ok {
		driver, dsn, dialect = "sqlite", sqlstore.SQLiteDSN(path), "sqlite"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, dialect
}

// traceless checks that no table has one of these words.
func (w *world) traceless(t *testing.T, words ...string) {
	t.Helper()
	db, dialect := openWorld(t, w.database)
	if found := symbolontest.FindText(t, db, dialect, words...); len(found) > 0 {
		t.Errorf("the database still has data of the person:\n%s", strings.Join(found, "\n"))
	}
	_ = db.Close()
}

// complete checks that an erasure is done, with the evidence of every step.
func complete(t *testing.T, e *system.Erasure) {
	t.Helper()
	if e == nil || !e.Done || e.DoneAt == nil {
		t.Errorf("the erasure is not done: %+v", e)
		return
	}
	cmdtest.WholeEvidence(t, e.Step, e.Evidence)
}

// erased checks that the identity and the user are erased, and that later hooks and
// requests change nothing.
func (w *world) erased(t *testing.T, p *symbolontest.Person, user string) {
	t.Helper()
	if _, status, err := w.kratos.GetIdentity(t.Context(), p.IdentityID); err != nil || status != 404 {
		t.Errorf("the identity at Ory: %d %v", status, err)
	}
	if _, status, err := w.kratos.Whoami(t.Context(), p.Token); err != nil || status != 401 {
		t.Errorf("whoami: %d %v", status, err)
	}
	keys := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)})
	for range 2 {
		w.server.send(t, "POST", w.server.publicURL+"/hooks/link", fmt.Sprintf(`{"identity_id":%q,"id":%q,"columns":{"traits.email":%q}}`, p.IdentityID, user, p.Email), "X-Symbolon-Key", keys.Link[0])
		w.server.send(t, "POST", w.server.publicURL+"/hooks/sync", fmt.Sprintf(`{"identity_id":%q}`, p.IdentityID), "X-Symbolon-Key", keys.Sync[0])
		if status, got := w.auth(t, p); status == 200 {
			t.Errorf("a request is let in as user %s", got)
		}
		w.server.send(t, "POST", w.server.operatorURL+"/admin/identities/"+p.IdentityID+"/sync", "")
	}
	known, _ := w.person(t, p.IdentityID)
	if known.Link == nil || known.Link.State != symbolon.Erased || len(known.Findings) > 0 {
		t.Errorf("the ledger says %+v, findings %v", known.Link, known.Findings)
	}
	complete(t, known.Erasure)
	w.traceless(t, p.Email, "Somebody") // the name of all erased people
}

// eraseNow has the operator erase a person. It repeats the request until the erasure has
// reached a state: a request waits only two seconds and is then answered with 202.
func (w *world) eraseNow(t *testing.T, path string, far func(system.Erasure) bool) (e system.Erasure) {
	t.Helper()
	cmdtest.Eventually(t, "the erasure has reached the wanted state", func() bool {
		status, header, body := w.server.send(t, "DELETE", w.server.operatorURL+path, "")
		var answer struct{ Erasure system.Erasure }
		if err := json.Unmarshal(body, &answer); err != nil || e.ID != "" && e.ID != answer.Erasure.ID || status != map[bool]int{true: 200, false: 202}[answer.Erasure.Done] ||
			status == 202 && header.Get("Location") != "/admin/erasures/"+answer.Erasure.ID {
			t.Fatalf("%d %v %s", status, header, body)
		}
		e = answer.Erasure
		return far(e)
	})
	return e
}

// TestEraseEndToEnd runs a real Kratos and the server on both databases, by the admin API
// and by the command line, with each row policy.
func TestEraseEndToEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database})
		stays, err := w.kratos.Register(t.Context(), "stays@example.org", cmdtest.Password, "One who stays")
		if err != nil {
			t.Fatal(err)
		}
		_, staying := w.auth(t, stays)
		for n, row := range []string{"", "anonymise", "delete"} {
			p := w.register(t, fmt.Sprintf("erased%d@example.com", n))
			status, user := w.auth(t, p)
			if status != 200 {
				t.Fatal(status)
			}
			query := "?why=ticket+8812"
			if row != "" {
				query += "&row=" + row
			}
			done := w.eraseNow(t, "/admin/users/"+user+query, func(e system.Erasure) bool { return e.Done })
			complete(t, &done)
			if status, _ := w.auth(t, p); status != 401 && status != 403 { // at once, in spite of caches
				t.Errorf("the session is answered %d", status)
			}
			w.erased(t, p, user)
			status, _, body := w.server.get(t, w.server.operatorURL+"/admin/erasures/"+done.ID)
			if status != 200 || !strings.Contains(string(body), "ticket 8812") {
				t.Errorf("%d %s", status, body)
			}
			again := w.register(t, p.Email)
			if status, fresh := w.auth(t, again); status != 200 || fresh == user {
				t.Errorf("a new sign-up with the same address: %d, user %s", status, fresh)
			}
			out, err := w.server.command("erase", again.IdentityID, "--yes", "--row", "delete").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			cmdtest.Eventually(t, "the server knows of the erasure by another process", func() bool {
				status, _ := w.auth(t, again)
				return status != 200
			})
			w.erased(t, again, "")
			if out, err := w.server.command("show", user).CombinedOutput(); err != nil || !strings.Contains(string(out), "GONE at Ory") || !strings.Contains(string(out), "erasure") {
				t.Errorf("%v\n%s", err, out)
			}
		}
		if out, err := w.server.command("reconcile", "--repair", "--load", "100%").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if status, user := w.auth(t, stays); status != 200 || user != staying {
			t.Errorf("another person: %d %s", status, user)
		}
	})
}

// TestEraseOutlivesTheServer lets Ory fail, so that the request is answered with 202. The
// server is killed and Ory recovers. The next server finishes the erasure.
func TestEraseOutlivesTheServer(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	w := startWorld(t, world{})
	target, err := url.Parse(w.kratos.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	tap := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if down.Load() && r.Method == "DELETE" {
			out.WriteHeader(http.StatusBadGateway)
			return
		}
		through.ServeHTTP(out, r)
	}))
	t.Cleanup(tap.Close)
	w.server.set("SYMBOLON_ORY_ADMIN_URL=" + tap.URL)
	w.server.kill()
	w.server.start(t)
	p := w.register(t, "outlived@example.com")
	_, user := w.auth(t, p)
	down.Store(true)
	if e := w.eraseNow(t, "/admin/users/"+user, func(e system.Erasure) bool { return e.Step == erase.StepSessions }); e.Done {
		t.Fatalf("%+v", e)
	}
	if status, _ := w.auth(t, p); status != 403 {
		t.Errorf("while the erasure waits, the session is answered %d", status)
	}
	w.server.kill()
	w.server.start(t)
	down.Store(false)
	cmdtest.Eventually(t, "the erasure is done", func() bool {
		known, _ := w.person(t, p.IdentityID)
		return known.Erasure != nil && known.Erasure.Done
	})
	w.erased(t, p, user)
}
