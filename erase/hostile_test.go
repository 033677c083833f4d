package erase_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// lie replaces the answers of a route until repair is called.
func (w *world) lie(route fakeory.Route, answer fakeory.Answer) (asked *atomic.Int64, repair func()) {
	asked = &atomic.Int64{}
	return asked, w.ory.Lie(route, func(out http.ResponseWriter, r *http.Request) bool {
		asked.Add(1)
		return answer(out, r)
	})
}

// TestHostileOry answers any call of the erasure with every answer except Ory's own. The
// step stays undone and the person denied. The erasure continues when Ory answers.
func TestHostileOry(t *testing.T) {
	const asJSON = "application/json; charset=utf-8"
	own := func(code int) string { return fmt.Sprintf(`{"error":{"code":%d,"status":"x","message":"y"}}`, code) }
	answers := map[string]fakeory.Answer{
		"401":                      fakeory.Says(401, asJSON, own(401)),
		"403":                      fakeory.Says(403, asJSON, own(403)),
		"404 of a proxy":           fakeory.Says(404, "text/plain", "404 page not found\n"),
		"404 in HTML":              fakeory.Says(404, "text/html", "<h1>Not Found</h1>"),
		"404 of another program":   fakeory.Says(404, asJSON, `{"message":"no route"}`),
		"404 that says 500":        fakeory.Says(404, asJSON, own(500)),
		"409":                      fakeory.Says(409, asJSON, own(409)),
		"500":                      fakeory.Says(500, asJSON, own(500)),
		"502":                      fakeory.Says(502, "text/html", "<h1>Bad Gateway</h1>"),
		"503":                      fakeory.Says(503, "text/plain", ""),
		"200 in HTML":              fakeory.Says(200, "text/html", "<h1>Sign in</h1>"),
		"200 and nothing":          fakeory.Says(200, asJSON, ""),
		"200 and another identity": fakeory.Says(200, asJSON, `{"id":"aaaaaaaa-0000-4000-8000-000000000001","schema_id":"default","state":"active","traits":{},"created_at":"2026-01-01T00:00:00Z"}`),
		"no answer":                func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return true
		},
	}
	calls := []struct {
		route fakeory.Route
		step  symbolon.ErasureStep
		there bool // the identity is at Ory until the fault ends
	}{
		{"GET /admin/identities/*", erase.StepSessions, true},
		{"DELETE /admin/identities/*/sessions", erase.StepSessions, true},
		{"DELETE /admin/identities/*", erase.StepIdentity, true},
	}
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	for _, call := range calls {
		for name, answer := range answers {
			t.Run(string(call.route)+" "+name, func(t *testing.T) {
				p, user := w.linked()
				asked, repair := w.lie(call.route, answer)
				begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					e, err := w.erasures.Run(t.Context(), begun.ID)
					if err == nil || e.Done() || e.Step != call.step {
						t.Errorf("the erasure is at %s, done %t, %v", e.Step, e.Done(), err)
					}
				}
				if e, err := w.erasures.Get(t.Context(), begun.ID); err != nil || e.Attempts != 2 || e.LastError == "" || strings.Contains(e.LastError, "@") {
					t.Errorf("%+v %v", e, err)
				}
				if asked.Load() < 2 || w.atOry(p.IdentityID) != call.there || w.state(p.IdentityID) != symbolon.Erased {
					t.Errorf("asked %d times; at Ory: %t", asked.Load(), w.atOry(p.IdentityID))
				}
				repair()
				e, err := w.erasures.Run(t.Context(), begun.ID)
				if err != nil || w.atOry(p.IdentityID) {
					t.Fatal(err)
				}
				w.complete(e)
			})
		}
	}
}

// TestReadBack checks that the step is done only after Ory itself answered that the
// identity is gone.
func TestReadBack(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	p, _ := w.linked()
	begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: p.IdentityID})
	w.must(err)
	_, repair := w.lie("DELETE /admin/identities/*", fakeory.Says(204, "", "")) // answers 204 and deletes nothing
	if e, err := w.erasures.Run(t.Context(), begun.ID); !errors.Is(err, symbolon.ErrUnavailable) || e.Step != erase.StepIdentity {
		t.Errorf("at %s, %v", e.Step, err)
	}
	repair()
	e, err := w.erasures.Run(t.Context(), begun.ID)
	w.must(err)
	w.complete(e)
	if n := e.Evidence[2]; n.Tries != 2 {
		t.Errorf("%+v", n)
	}
}

// TestWrongOry checks that the 404s of an Ory without any linked identity prove nothing.
func TestWrongOry(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	w.linker.BackReference.Write = link.WriteNone // no other request to Ory while it is replaced
	p, user := w.linked()
	w.linked()
	right := w.erasures.Linker.Ory
	empty := fakeory.Start(t, fakeory.Config{})
	wrong := &ory.Client{PublicURL: empty.PublicURL, AdminURL: empty.AdminURL}
	t.Cleanup(wrong.CloseIdleConnections)
	w.linker.Ory, w.erasures.Ory = wrong, wrong
	begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)})
	w.must(err)
	e, err := w.erasures.Run(t.Context(), begun.ID)
	if !errors.Is(err, symbolon.ErrUnavailable) || !strings.Contains(err.Error(), "right project") || e.Step != erase.StepSessions {
		t.Errorf("at %s, %v", e.Step, err)
	}
	w.linker.Ory, w.erasures.Ory = right, w.client
	e, err = w.erasures.Run(t.Context(), begun.ID)
	w.must(err)
	w.complete(e)
	if w.atOry(p.IdentityID) {
		t.Error("the identity still exists")
	}
}

// TestRowRefused checks that an erasure waits if the table refuses to change the row, and
// continues when the table allows it.
func TestRowRefused(t *testing.T) {
	for _, deferred := range []string{"", " deferrable initially deferred"} {
		t.Run("constraint"+deferred, func(t *testing.T) {
			onBoth(t, sqlstore.Users{}, func(w *world) {
				kind := map[sqlstore.Dialect]string{sqlstore.SQLite: "text", sqlstore.Postgres: "uuid"}[w.dialect]
				w.exec(`create table orders (person ` + kind + ` references symbolon_users (id)` + deferred + `)`)
				p, linked := w.linked()
				alone := w.linker.Mint() // has no identity
				w.exec(`insert into symbolon_users (id, email) values ($1, 'trait.alone@example.com')`, string(alone))
				w.exec(`insert into orders select id from symbolon_users`)
				for _, user := range []symbolon.UserID{linked, alone} {
					begun, err := w.erasures.Begin(w.Context(), erase.Request{ID: string(user), Row: symbolon.DeleteRow})
					w.must(err)
					for range 2 {
						e, err := w.erasures.Run(w.Context(), begun.ID)
						if !errors.Is(err, symbolon.ErrUnavailable) || e.Step != erase.StepRow || e.Done() {
							w.Errorf("at %s, %v", e.Step, err)
						}
					}
					if c, err := w.store.User(w.Context(), "default", user); err != nil || !c.Retired || c.Row == nil {
						w.Errorf("%+v %v", c, err)
					}
				}
				if w.atOry(p.IdentityID) {
					w.Error("the identity is still at Ory, but must be deleted before the row")
				}
				w.exec(`delete from orders`)
				list, err := w.erasures.Unfinished(w.Context())
				w.must(err)
				for _, e := range list {
					e, err = w.erasures.Run(w.Context(), e.ID)
					w.must(err)
					w.complete(e)
				}
				if len(list) != 2 || w.users() != 0 {
					w.Errorf("%d erasures, %d rows", len(list), w.users())
				}
				w.traceless(p.Email, "trait.alone")
			})
		})
	}
}

// TestApplicationsTable uses an application's table with an e-mail column that is not
// null. The columns to anonymise name only what Symbolon cannot know.
func TestApplicationsTable(t *testing.T) {
	users := sqlstore.Users{Table: "people", ID: "n", Identity: "ory", NewID: sqlstore.ByDatabase,
		Columns: map[string]string{"email": "traits.email", "name": "traits.name"}, AnonymiseColumns: []string{"phone"}}
	onBoth(t, users, func(w *world) {
		key := map[sqlstore.Dialect]string{sqlstore.SQLite: "integer primary key", sqlstore.Postgres: "bigint generated by default as identity primary key"}[w.dialect]
		w.exec(`create table people (n ` + key + `, ory varchar(36) unique check (ory = lower(ory) and ory like '________-____-____-____-____________'), email text not null unique, name text, phone text)`)
		p, user := w.linked()
		w.exec(`update people set phone = 'Trait Phone'`)
		w.exec(`insert into people (email, phone) values ('trait.alone@example.com', 'Trait Phone')`)
		w.exec(`insert into people (email, phone) values ('trait.moved@example.com', 'Trait Phone')`)
		w.move(p.IdentityID, symbolon.UserID(fmt.Sprint(mustInt(t, user)+2)))
		w.erase(erase.Request{ID: p.IdentityID})
		w.erase(erase.Request{ID: fmt.Sprint(mustInt(t, user) + 1)})
		w.traceless(p.Email, "Trait ", "trait.")
		if w.users() != 3 {
			w.Errorf("%d rows", w.users())
		}
	})
}

func mustInt(t *testing.T, user symbolon.UserID) int64 {
	t.Helper()
	n, err := user.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTableDisagreesLater moves the row to another identity while the erasure waits. The
// erasure does not change that row.
func TestTableDisagreesLater(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		p, user := w.linked()
		other := w.register()
		begun, err := w.erasures.Begin(w.Context(), erase.Request{ID: p.IdentityID, Row: symbolon.DeleteRow})
		w.must(err)
		w.exec(`update symbolon_users set ory_identity_id = $1 where id = $2`, other.IdentityID, string(user))
		e, err := w.erasures.Run(w.Context(), begun.ID)
		if !errors.Is(err, symbolon.ErrUnavailable) || e.Step != erase.StepRow || w.users() != 1 {
			w.Errorf("at %s, %d rows, %v", e.Step, w.users(), err)
		}
		w.exec(`update symbolon_users set ory_identity_id = null where id = $1`, string(user))
		e, err = w.erasures.Run(w.Context(), begun.ID)
		w.must(err)
		w.complete(e)
		if w.users() != 0 {
			w.Error("the row still exists")
		}
	})
}

// TestUserComesLater gives a person a user or an identity after the erasure was recorded.
func TestUserComesLater(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		record := func(identity, user string) symbolon.Erasure {
			e, err := w.store.OpenErasure(w.Context(), symbolon.Erasure{ID: identity + user, Project: "default", Identity: symbolon.IdentityID(identity),
				User: symbolon.UserID(user), Row: symbolon.AnonymiseRow, Step: erase.StepDeny, RequestedAt: time.Now()})
			w.must(err)
			return e
		}
		for _, byUser := range []bool{true, false} {
			p, user := w.linked()
			e := record(p.IdentityID, "")
			if byUser {
				w.exec(`delete from ` + w.table("erasures"))
				e = record("", string(user))
			}
			e, err := w.erasures.Run(w.Context(), e.ID)
			w.must(err)
			w.complete(e)
			if string(e.Identity) != p.IdentityID || e.User != user || w.atOry(p.IdentityID) {
				w.Errorf("%+v", e)
			}
			w.traceless(p.Email)
		}
		// Two erasures, one by each ID, together erase the person.
		p, user := w.linked()
		one, two := record(p.IdentityID, ""), record("", string(user))
		for range 3 {
			for _, id := range []string{two.ID, one.ID} {
				_, _ = w.erasures.Run(w.Context(), id)
			}
		}
		if list, err := w.erasures.Unfinished(w.Context()); err != nil || len(list) > 0 {
			w.Errorf("%+v %v", list, err)
		}
		w.traceless(p.Email)

		// The identity and the user were separated before the first step.
		p, user = w.linked()
		e := record(p.IdentityID, string(user))
		other := w.register()
		_, err := w.linker.Bind(w.Context(), symbolon.IdentityID(other.IdentityID), user, symbolon.BindOptions{Move: true})
		w.must(err)
		e, err = w.erasures.Run(w.Context(), e.ID)
		if err != nil || e.Step != erase.StepWithdrawn || !e.Done() || !w.atOry(p.IdentityID) || w.state(other.IdentityID) != symbolon.Linked {
			w.Errorf("%+v %v", e, err)
		}
	})
}

// TestResume checks that another process continues a waiting erasure, after a growing
// pause.
func TestResume(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	now := time.Now()
	w.erasures.Now = func() time.Time { return now }
	_, repair := w.lie("DELETE /admin/identities/*", fakeory.Says(500, "text/plain", ""))
	for range 3 {
		_, user := w.linked()
		_, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)})
		w.must(err)
	}
	resume := func(wantDone, wantLeft int) {
		t.Helper()
		done, left, err := w.erasures.Resume(t.Context())
		if err != nil || done != wantDone || left != wantLeft {
			t.Errorf("%d done, %d left, %v; want %d and %d", done, left, err, wantDone, wantLeft)
		}
	}
	attempts := func() int {
		t.Helper()
		list, err := w.erasures.Unfinished(t.Context())
		w.must(err)
		return list[0].Attempts
	}
	resume(0, 3)
	if attempts() != 0 {
		t.Error("the erasure was continued, although another process may still work on it")
	}
	for n, wait := range []time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second, 7500 * time.Millisecond} {
		now = now.Add(wait - time.Millisecond)
		resume(0, 3)
		if attempts() != n {
			t.Errorf("%d attempts after %d", attempts(), n)
		}
		now = now.Add(time.Millisecond)
		resume(0, 3)
	}
	repair()
	now = now.Add(5 * time.Minute)
	resume(3, 0)
	resume(0, 0)
}

// TestFinish checks that Finish waits until Ory is back, and returns when its context
// ends.
func TestFinish(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	p, _ := w.linked()
	begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: p.IdentityID})
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	_, repair := w.lie("DELETE /admin/identities/*", func(out http.ResponseWriter, r *http.Request) bool {
		if asked++; asked == 2 {
			cancel()
		}
		return fakeory.Says(500, "text/plain", "")(out, r)
	})
	if e, err := w.erasures.Finish(ctx, begun.ID); err == nil || e.Done() || e.ID != begun.ID || asked < 2 {
		t.Errorf("asked %d times: %+v %v", asked, e, err)
	}
	time.AfterFunc(300*time.Millisecond, repair)
	e, err := w.erasures.Finish(t.Context(), begun.ID)
	w.must(err)
	w.complete(e)
	if _, err := w.erasures.Finish(t.Context(), "nobody's"); !errors.Is(err, symbolon.ErrNotFound) {
		t.Error(err)
	}
}
