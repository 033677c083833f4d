package library

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestKratosDatabaseDown stops Kratos' database, so that Kratos answers 401 to a valid
// session. Symbolon answers 503 until Kratos recovers and denies nobody. The test runs
// with and without an admin URL, for a cached and for an unknown session.
func TestKratosDatabaseDown(t *testing.T) {
	t.Parallel()
	for name, admin := range map[string]bool{"admin URL": true, "public URL only": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := symbolontest.StartPostgres(t)
			w := newWorld(t, sqlstore.SQLite, setup{admin: admin, kratos: symbolontest.KratosConfig{DSN: cluster.NewDatabase(t)}})
			known, unseen := w.signUp(mail("known")), w.signUp(mail("unseen"))
			if status, _ := w.get(known.Token); status != 200 {
				t.Fatal(status)
			}
			cluster.Stop()
			if _, status, err := w.kratos.Whoami(t.Context(), known.Token); err != nil || status != 401 {
				t.Fatalf("Kratos answers %d, %v, but this test needs a false 401", status, err)
			}
			w.forgetAnswers()
			for _, p := range []*symbolontest.Person{known, unseen} {
				if status, code := w.get(p.Token); status != 503 || code != "unavailable" {
					t.Errorf("%s during the outage: %d %s", p.Email, status, code)
				}
			}
			if err := cluster.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*symbolontest.Person{known, unseen} {
				w.eventually(p.Email+" is let in again", func() bool { status, _ := w.get(p.Token); return status == 200 })
			}
			// Each of Kratos' broken connections fails once.
			w.eventually("Ory accepts the logout", func() bool { return w.kratos.Logout(t.Context(), known.Token) == nil })
			w.forgetAnswers()
			for what, token := range map[string]string{"after the logout": known.Token, "junk": "ory_st_ThisTokenWasNeverIssuedByAnybody1"} {
				status, code := 503, ""
				w.eventually(what+": the answer is not 503", func() bool { status, code = w.get(token); return status != 503 })
				if status != 401 || code != "unauthenticated" {
					t.Errorf("%s: %d %s", what, status, code)
				}
			}
		})
	}
}

// forgetAnswers drops the verifier's cached answers. The session ID of each credential
// stays known.
func (w *world) forgetAnswers() {
	for _, id := range w.identities() {
		w.auth.Purge(id)
	}
}

// TestKratosStopped checks that a refused connection is "don't know" and that cached
// answers are still used.
func TestKratosStopped(t *testing.T) {
	t.Parallel()
	onOne(t, setup{}, func(t *testing.T, w *world) {
		w.auth.MaxStale = time.Hour
		seen, unseen := w.signUp(mail("seen")), w.signUp(mail("unseen"))
		if status, _ := w.get(seen.Token); status != 200 {
			t.Fatal(status)
		}
		w.kratos.Stop()
		if status, _ := w.get(seen.Token); status != 200 {
			t.Errorf("cached: %d", status)
		}
		if status, code := w.get(unseen.Token); status != 503 {
			t.Errorf("never seen: %d %s", status, code)
		}
		if err := w.kratos.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.eventually("Ory answers again", func() bool { status, _ := w.get(unseen.Token); return status == 200 })
	})
}

// TestOptional tests a stranger, a signed-in person, and "don't know", which must not be
// treated as a stranger.
func TestOptional(t *testing.T) {
	t.Parallel()
	onOne(t, setup{}, func(t *testing.T, w *world) {
		app := httptest.NewServer(w.auth.Optional(http.HandlerFunc(whoAmI)))
		defer app.Close()
		p := w.signUp(mail("maybe"))
		if status, user := ask(t, app.URL, p.Token); status != 200 || user == "" {
			t.Errorf("signed in: %d %q", status, user)
		}
		if status, user := ask(t, app.URL, "ory_st_ThisTokenWasNeverIssuedByAnybody1"); status != 200 || user != "" {
			t.Errorf("without a session: %d %q", status, user)
		}
		w.kratos.Stop()
		if status, _ := ask(t, app.URL, "ory_st_ThisTokenWasNeverIssuedByAnybody2"); status != 503 {
			t.Errorf("Ory down: %d", status)
		}
	})
}
