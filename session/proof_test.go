package session

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
)

// expire waits until all cached answers are too old. Known sessions stay known.
func expire() { time.Sleep(11 * time.Second) }

// TestFalse401 checks that nobody is logged out while Kratos answers 401 to a valid
// session.
func TestFalse401(t *testing.T) {
	faults := map[string]func(*world){
		"database down": func(w *world) { w.down = true },
		"table broken":  func(w *world) { w.tableBroken = true }, // readiness and the admin API work
		"sessions unreadable": func(w *world) {
			w.tableBroken = true
			w.answer = func(r *http.Request) *http.Response {
				if strings.HasPrefix(r.URL.Path, "/admin/sessions") {
					return response(500, body500)
				}
				return nil
			}
		},
		"admin answers a plain 404": func(w *world) {
			w.tableBroken = true
			w.answer = func(r *http.Request) *http.Response {
				if strings.HasPrefix(r.URL.Path, "/admin/") {
					resp := response(404, "404 page not found\n")
					resp.Header.Set("Content-Type", "text/plain")
					return resp
				}
				return nil
			}
		},
		"admin shows another session": func(w *world) {
			w.tableBroken = true
			_, other := w.person(77)
			w.set(func() { other.active = false })
			w.answer = func(r *http.Request) *http.Response {
				if strings.HasPrefix(r.URL.Path, "/admin/sessions/") {
					return w.shown(other)
				}
				return nil
			}
		},
		"admin shows no identity": func(w *world) {
			w.tableBroken = true
			w.answer = func(r *http.Request) *http.Response {
				if strings.HasPrefix(r.URL.Path, "/admin/sessions/") {
					return response(200, `{"id":"00000001-5e55-4000-8000-000000000000","active":true,"expires_at":"2999-01-01T00:00:00Z","authenticated_at":"2026-01-01T00:00:00Z","identity":null}`)
				}
				return nil
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				token, _ := w.person(1)
				w.ask(byToken(token))
				fault(w)
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Errorf("cached: %d", status)
				}
				for range 5 {
					expire()
					for _, h := range []http.Handler{w.v.Require(http.HandlerFunc(whoIs)), w.v.Optional(http.HandlerFunc(whoIs))} {
						status, said := through(h, byToken(token))
						expect(t, status, said, 503, "unavailable")
					}
				}
				w.set(func() { w.down, w.tableBroken, w.answer = false, false, nil })
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Errorf("after the fault: %d", status)
				}
				if log := w.log.String(); !strings.Contains(log, "503") || strings.Contains(log, token) {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

// TestTrue401 checks that a known session that has ended is refused.
func TestTrue401(t *testing.T) {
	ends := map[string]func(*fakeSession){
		"revoked":           func(s *fakeSession) { s.active = false },
		"expired":           func(s *fakeSession) { s.expires = time.Now() },
		"identity inactive": func(s *fakeSession) { s.inactive = true },
		"identity deleted":  func(s *fakeSession) { s.deleted = true },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				token, s := w.person(1)
				w.ask(byToken(token))
				w.set(func() { end(s) })
				expire()
				status, said := w.ask(byToken(token))
				expect(t, status, said, 401, "unauthenticated")
				if w.times("whoami") != 2 || w.times("session") != 1 || w.times("probe") != 0 {
					t.Errorf("%v", w.asked)
				}
				// A final end is proved once and stays proved in an outage.
				final := name != "identity inactive"
				for range 3 {
					expire()
					status, said := w.ask(byToken(token))
					expect(t, status, said, 401, "unauthenticated")
				}
				if final != (w.times("session") == 1) || w.times("probe") != 0 {
					t.Errorf("%v", w.asked)
				}
				w.set(func() { w.down = true })
				expire()
				if status, _ := w.ask(byToken(token)); (status == 401) != final {
					t.Errorf("%d in an outage", status)
				}
				// If Ory lets the session in again, Symbolon does too.
				w.set(func() {
					w.down = false
					s.active, s.inactive, s.deleted, s.expires = true, false, false, time.Now().Add(time.Hour)
				})
				expire()
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Errorf("%d after the session is valid again", status)
				}
			})
		})
	}
}

// TestUnknown401 checks that for an unknown credential, Ory's health is the proof.
func TestUnknown401(t *testing.T) {
	path := func(p string, resp func() *http.Response) func(*http.Request) *http.Response {
		return func(r *http.Request) *http.Response {
			if r.URL.Path == p {
				return resp()
			}
			return nil
		}
	}
	tests := map[string]struct {
		fault  func(*world)
		status int
		admin  int // status without an admin URL
	}{
		"no fault":      {func(*world) {}, 401, 401},
		"database down": {func(w *world) { w.down = true }, 503, 503},
		"not ready": {func(w *world) {
			w.answer = path("/health/ready", func() *http.Response { return response(503, body500) })
		}, 503, 503},
		"ready HTML": {func(w *world) {
			w.answer = path("/health/ready", func() *http.Response { return response(200, "<html>") })
		}, 503, 503},
		"probe 500": {func(w *world) {
			w.answer = path("/admin/sessions", func() *http.Response { return response(500, body500) })
		}, 503, 401},
		"probe 401": {func(w *world) {
			w.answer = path("/admin/sessions", func() *http.Response { return response(401, body401) })
		}, 503, 401},
		"probe an object": {func(w *world) {
			w.answer = path("/admin/sessions", func() *http.Response { return response(200, "{}") })
		}, 503, 401},
		"whoami then answers 500": {func(w *world) {
			w.answer = second("/sessions/whoami", func() *http.Response { return response(500, body500) })
		}, 503, 503},
		"whoami then answers 429": {func(w *world) {
			first := second("/sessions/whoami", func() *http.Response { return response(429, "") })
			limited := false
			w.answer = func(r *http.Request) *http.Response {
				if resp := first(r); resp != nil || limited && r.URL.Path == "/sessions/whoami" {
					limited = true
					return response(429, "")
				}
				return nil
			}
		}, 503, 503},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for admin, want := range map[bool]int{true: test.status, false: test.admin} {
				w := newWorld(t)
				w.person(1)
				if !admin {
					w.withoutAdmin()
				}
				test.fault(w)
				if status, said := w.ask(byToken("ory_st_unknown")); status != want {
					t.Errorf("admin %v: got %d %s, want %d", admin, status, said, want)
				}
			}
		})
	}
}

// second returns resp for the second question to a path.
func second(p string, resp func() *http.Response) func(*http.Request) *http.Response {
	n := 0
	return func(r *http.Request) *http.Response {
		if r.URL.Path == p {
			if n++; n == 2 {
				return resp()
			}
		}
		return nil
	}
}

// TestFaultEndsWhileItIsProved has a second whoami that finds the session valid.
func TestFaultEndsWhileItIsProved(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	w.answer = func(r *http.Request) *http.Response {
		if r.URL.Path == "/sessions/whoami" && w.asked["whoami"] == 0 {
			return response(401, body401)
		}
		return nil
	}
	status, said := w.ask(byToken(token))
	expect(t, status, said, 200, string(userOf(symbolon.IdentityID(s.identity))))
}

// TestProofIsShared checks that many unknown credentials cost one proof of health, and
// that none of them gets a proof that began before its own 401.
func TestProofIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 100 * time.Millisecond
		done := make(chan int)
		const many = 200
		for n := range many {
			go func() {
				status, _ := w.ask(byToken("ory_st_junk" + strings.Repeat("x", n)))
				done <- status
			}()
		}
		for range many {
			if status := <-done; status != 401 {
				t.Errorf("got %d", status)
			}
		}
		if w.times("ready") > many/maxStrangersAsking+1 || w.times("probe") > many/maxStrangersAsking+1 || w.times("whoami") != 2*many {
			t.Errorf("%v", w.asked)
		}
	})
}

// TestProofPanics checks that a panic of the application's transport is "don't know", and
// that the next proof is made.
func TestProofPanics(t *testing.T) {
	w := newWorld(t)
	w.answer = func(r *http.Request) *http.Response {
		if r.URL.Path == "/health/ready" {
			panic("canary-of-a-transport")
		}
		return nil
	}
	status, said := w.ask(byToken("ory_st_junk"))
	expect(t, status, said, 503, "unavailable")
	w.set(func() { w.answer = nil })
	status, said = w.ask(byToken("ory_st_junk"))
	expect(t, status, said, 401, "unauthenticated")
	if strings.Contains(w.log.String(), "canary") {
		t.Errorf("log: %s", w.log)
	}
}

// TestProofBeginsAfterThe401 checks that a proof that began before the 401 proves
// nothing.
func TestProofBeginsAfterThe401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s flight.Group[int, int]
		release, run := make(chan struct{}), 0
		f := func(context.Context) (int, error) { run++; <-release; return 0, nil }
		results := make(chan error, 3)
		go func() { _, err := s.After(t.Context(), 0, f); results <- err }()
		synctest.Wait()
		go func() { _, err := s.After(t.Context(), 0, f); results <- err }()
		go func() { _, err := s.After(t.Context(), 0, f); results <- err }()
		synctest.Wait() // both callers wait
		close(release)
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if run != 2 {
			t.Errorf("%d checks for one caller and two later ones", run)
		}
	})
}

// TestWithoutAdmin checks that without an admin API readiness is also the proof for a
// known session.
func TestWithoutAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).withoutAdmin()
		token, s := w.person(1)
		w.ask(byToken(token))
		expire()
		w.set(func() { w.down = true })
		status, said := w.ask(byToken(token))
		expect(t, status, said, 503, "unavailable")
		w.set(func() { w.down = false; s.active = false })
		status, said = w.ask(byToken(token))
		expect(t, status, said, 401, "unauthenticated")
	})
}

func TestKnownSessions(t *testing.T) {
	const limit = 100
	s, some := newKnownSessions(limit), sessionID{1}
	id := func(n int) (k key) { k[0], k[1] = byte(n), byte(n>>8); return k }
	for n := range 10 * limit {
		s.remember(id(n), some, 0, 1)
		if len(s.young)+len(s.old) > 2*limit {
			t.Fatal("not bounded")
		}
		for back := range min(n, limit) {
			if _, ok := s.recall(id(n - back)); !ok {
				t.Fatalf("%d is forgotten at %d", n-back, n)
			}
		}
	}
	if _, ok := s.recall(id(0)); ok {
		t.Error("the oldest is still known")
	}
	s = newKnownSessions(limit)
	s.remember(id(1), some, 0, 1)
	s.remember(id(2), some, int64(knownFor)+1, 1)
	if _, ok := s.recall(id(1)); !ok {
		t.Error("forgotten within a day")
	}
	s.remember(id(3), some, 3*int64(knownFor), 1)
	if _, ok := s.recall(id(1)); ok {
		t.Error("known after two days")
	}
}
