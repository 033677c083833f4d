package session

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/link"
)

func TestRequire(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	user := string(userOf(symbolon.IdentityID(s.identity)))
	for range 3 {
		status, said := w.ask(byToken(token))
		expect(t, status, said, 200, user)
	}
	status, said := w.ask(request())
	expect(t, status, said, 401, "unauthenticated")
	if w.times("whoami") != 1 || w.store.looks != 1 {
		t.Errorf("whoami %d times, %d look-ups", w.times("whoami"), w.store.looks)
	}
	p, err := w.v.Authenticate(byToken(token))
	if err != nil || p.User.Identity != symbolon.IdentityID(s.identity) || p.Session.ID != s.id || p.Session.AAL != "aal1" ||
		!p.Session.ExpiresAt.Equal(s.expires) || p.Email != "p00000001@x.example" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestStaleness checks that no answer is used longer than MaxStale after its question was
// sent, and not longer than the session.
func TestStaleness(t *testing.T) {
	tests := []struct {
		name                    string
		maxStale, left, latency time.Duration
		lives                   time.Duration // from the arrival of the answer
	}{
		{"default", 0, time.Hour, 0, 10 * time.Second},
		{"configured", 3 * time.Second, time.Hour, 0, 3 * time.Second},
		{"counted from the question", 0, time.Hour, 4 * time.Second, 6 * time.Second},
		{"the session ends first", 0, 5 * time.Second, 0, 5 * time.Second},
		{"both", 0, 5 * time.Second, 2 * time.Second, 3 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.v.MaxStale = test.maxStale
				token, s := w.person(1)
				w.set(func() { s.expires = time.Now().Add(test.left) })
				w.latency = test.latency
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Fatal(status)
				}
				w.set(func() { s.active = false; w.latency = 0 })
				time.Sleep(test.lives - time.Millisecond)
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Errorf("%d while the answer is valid", status)
				}
				time.Sleep(time.Millisecond)
				status, said := w.ask(byToken(token))
				expect(t, status, said, 401, "unauthenticated")
				w.v.Close()
			})
		})
	}
}

// TestSlowerThanItCounts checks that an answer that arrives after MaxStale lets nobody
// in.
func TestSlowerThanItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.v.MaxStale, w.latency = time.Second, 2*time.Second
		token, _ := w.person(1)
		status, said := w.ask(byToken(token))
		expect(t, status, said, 503, "unavailable")
	})
}

// TestWallClockSteps checks that the age of an answer does not depend on the wall clock.
func TestWallClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var clock chaos.Clock
			w.v.Now = clock.Now
			token, s := w.person(1)
			w.ask(byToken(token))
			clock.Set(step)
			w.set(func() { s.active = false })
			time.Sleep(9 * time.Second)
			if status, _ := w.ask(byToken(token)); status != 200 {
				t.Errorf("%s: %d while the answer is valid", step, status)
			}
			time.Sleep(time.Second)
			status, said := w.ask(byToken(token))
			expect(t, status, said, 401, "unauthenticated")
			w.person(2)
			if status, _ := w.ask(byToken("ory_st_person" + fmt.Sprintf("%026d", 2))); status != 200 {
				t.Errorf("%s: a new session: %d", step, status)
			}
		})
	}
}

func TestNegativeAnswersAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 10 {
			status, said := w.ask(byToken("ory_st_junk"))
			expect(t, status, said, 401, "unauthenticated")
		}
		if w.times("whoami") != 2 || w.times("ready") != 1 || w.times("probe") != 1 {
			t.Errorf("%v", w.asked)
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		w.ask(byToken("ory_st_junk"))
		if w.times("whoami") != 2 {
			t.Errorf("before five seconds: %v", w.asked)
		}
		time.Sleep(time.Nanosecond)
		w.ask(byToken("ory_st_junk"))
		if w.times("whoami") != 4 {
			t.Errorf("%v", w.asked)
		}
	})
}

func TestDenied(t *testing.T) {
	for sentinel, code := range map[error]string{symbolon.ErrOnHold: "link_on_hold", symbolon.ErrUserGone: "user_gone", symbolon.ErrCannotCreate: "cannot_create", symbolon.ErrNotEligible: "not_eligible"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			token, s := w.person(1)
			id := symbolon.IdentityID(s.identity)
			w.store.deny = map[symbolon.IdentityID]error{id: &symbolon.DenyError{Identity: id, Err: sentinel, Detail: "d"}}
			for range 5 {
				status, said := w.ask(byToken(token))
				expect(t, status, said, 403, code)
			}
			if w.times("whoami") != 1 {
				t.Errorf("%v", w.asked)
			}
			w.store.deny = nil
			time.Sleep(5*time.Second - time.Nanosecond)
			status, said := w.ask(byToken(token))
			expect(t, status, said, 403, code)
			time.Sleep(time.Nanosecond)
			status, said = w.ask(byToken(token))
			expect(t, status, said, 200, string(userOf(id)))
		})
	}
}

// TestLinkerFails checks that every other error of the Linker is "don't know", including
// ErrNotFound.
func TestLinkerFails(t *testing.T) {
	for _, err := range []error{symbolon.ErrUnavailable, symbolon.ErrNotFound, symbolon.ErrConflict, errors.New("database is locked")} {
		w := newWorld(t)
		token, _ := w.person(1)
		w.store.fail = err
		status, said := w.ask(byToken(token))
		expect(t, status, said, 503, "unavailable")
		w.store.fail = nil
		if status, _ := w.ask(byToken(token)); status != 200 {
			t.Errorf("%v is remembered: %d", err, status)
		}
	}
	w := newWorld(t)
	token, _ := w.person(1)
	w.store.panic = true
	status, said := w.ask(byToken(token))
	expect(t, status, said, 503, "unavailable")
	if log := w.log.String(); strings.Contains(log, "canary") || !strings.Contains(log, "panic") {
		t.Errorf("log: %s", log)
	}
}

func TestPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		user := string(userOf(symbolon.IdentityID(s.identity)))
		w.set(func() { s.verified = false })
		no := func(code string, policies ...Policy) {
			t.Helper()
			status, said := w.ask(byToken(token), policies...)
			expect(t, status, said, 403, code)
		}
		yes := func(policies ...Policy) {
			t.Helper()
			status, said := w.ask(byToken(token), policies...)
			expect(t, status, said, 200, user)
		}
		yes()
		yes(Fresh(time.Minute))
		no("aal2_required", AAL2)
		no("not_verified", Verified)
		no("aal2_required", AAL2, Verified)
		no("not_verified", Verified, AAL2)
		if w.times("whoami") != 1 {
			t.Errorf("policies ask Ory: %v", w.asked)
		}
		// A person who has completed the second factor is let in at once, not after
		// MaxStale.
		w.set(func() { s.aal, s.verified = "aal2", true })
		time.Sleep(time.Second)
		yes(AAL2, Verified, Policy{})
		if w.times("whoami") != 2 {
			t.Errorf("%v", w.asked)
		}
		// Repeated requests ask Ory at most once a second.
		time.Sleep(61 * time.Second)
		yes()
		for range 50 {
			no("not_fresh", Fresh(time.Minute))
		}
		if w.times("whoami") != 3 {
			t.Errorf("%v", w.asked)
		}
		// While Ory cannot be asked, an old answer is not used for a denial.
		time.Sleep(2 * time.Second)
		w.set(func() { w.down = true })
		status, said := w.ask(byToken(token), Fresh(time.Minute))
		expect(t, status, said, 503, "unavailable")
		yes()
	})
}

// TestStepUp checks that a person who has just completed the second factor is let in,
// also if a background request was answered a moment before, and also if its question
// still runs.
func TestStepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		user := string(userOf(symbolon.IdentityID(s.identity)))
		w.ask(byToken(token))
		time.Sleep(100 * time.Millisecond)
		w.set(func() { s.aal = "aal2" })
		status, said := w.ask(byToken(token), AAL2)
		expect(t, status, said, 200, user)

		w.set(func() { s.aal, w.latency = "aal1", 0 })
		time.Sleep(11 * time.Second)
		w.answer = func(r *http.Request) *http.Response { // answered at once, received late
			resp := w.shown(s)
			resp.Body = &slowBody{resp.Body.(interface{ Read([]byte) (int, error) }), time.Second}
			return resp
		}
		before := make(chan int)
		go func() {
			status, _ := w.ask(byToken(token))
			before <- status
		}()
		time.Sleep(500 * time.Millisecond)
		w.set(func() { s.aal = "aal2" })
		status, said = w.ask(byToken(token), AAL2)
		expect(t, status, said, 200, user)
		if status := <-before; status != 200 {
			t.Errorf("the page in the background: %d", status)
		}
		// For a person without a second factor Ory is asked once a second.
		w.set(func() { s.aal, w.answer = "aal1", nil })
		time.Sleep(11 * time.Second)
		asked := w.times("whoami")
		for range 100 {
			status, said = w.ask(byToken(token), AAL2)
			expect(t, status, said, 403, "aal2_required")
			time.Sleep(20 * time.Millisecond)
		}
		if n := w.times("whoami") - asked; n > 3 {
			t.Errorf("%d questions in two seconds", n)
		}
	})
}

func TestAAL2Required(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	w.set(func() { s.needsAAL2 = true })
	for range 2 {
		status, said := w.ask(byToken(token))
		expect(t, status, said, 403, "aal2_required")
	}
	w.set(func() { s.needsAAL2, s.aal = false, "aal2" }) // the person has completed the second factor
	status, said := w.ask(byToken(token), AAL2)
	expect(t, status, said, 200, string(userOf(symbolon.IdentityID(s.identity))))
}

func TestPurge(t *testing.T) {
	for name, purge := range map[string]func(*Verifier, *fakeSession){
		"identity": func(v *Verifier, s *fakeSession) { v.Purge(symbolon.IdentityID(s.identity)) },
		"session":  func(v *Verifier, s *fakeSession) { v.PurgeSession(s.id) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				token, s := w.person(1)
				other, _ := w.person(2)
				w.ask(byToken(token))
				w.ask(byToken(other))
				w.set(func() { s.active = false })
				purge(w.v, s)
				status, said := w.ask(byToken(token))
				expect(t, status, said, 401, "unauthenticated")
				before := w.times("whoami")
				if status, _ := w.ask(byToken(other)); status != 200 || w.times("whoami") != before {
					t.Error("another person was purged")
				}
			})
		})
	}
}

// TestPurgeInFlight checks that an answer that was under way during a purge of its
// session lets nobody in.
func TestPurgeInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		w.answer = func(r *http.Request) *http.Response { // answered at once, received late
			if r.URL.Path != "/sessions/whoami" || !s.active {
				return nil
			}
			resp := w.shown(s)
			resp.Body = &slowBody{resp.Body.(interface{ Read([]byte) (int, error) }), 2 * time.Second}
			return resp
		}
		done := make(chan int)
		go func() {
			status, _ := w.ask(byToken(token))
			done <- status
		}()
		time.Sleep(time.Second)
		w.set(func() { s.active = false })
		w.v.Purge(symbolon.IdentityID(s.identity))
		if status := <-done; status != 401 {
			t.Errorf("got %d", status)
		}
		if status, _ := w.ask(byToken(token)); status != 401 {
			t.Errorf("then %d", status)
		}
	})
}

type slowBody struct {
	r    interface{ Read([]byte) (int, error) }
	wait time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	b.wait = 0
	return b.r.Read(p)
}

func (b *slowBody) Close() error { return nil }

// TestMassPurge checks that beyond the limit of remembered purges every answer is void.
func TestMassPurge(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	w.ask(byToken(token))
	for n := range maxPurges + 10 {
		w.v.PurgeSession(fmt.Sprint(n))
	}
	if n := len(w.v.purges.of); n > maxPurges {
		t.Errorf("%d are remembered", n)
	}
	before := w.times("whoami")
	if status, _ := w.ask(byToken(token)); status != 200 || w.times("whoami") != before+1 {
		t.Error("an answer from before the purges was used")
	}
	if status, _ := w.ask(byToken(token)); status != 200 || w.times("whoami") != before+1 {
		t.Error("an answer from after the purges was not used")
	}
}

func TestClose(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	other, _ := w.person(2)
	w.ask(byToken(token))
	w.v.Close()
	w.v.Close()
	if status, _ := w.ask(byToken(token)); status != 200 {
		t.Errorf("from the cache: %d", status)
	}
	status, said := w.ask(byToken(other))
	expect(t, status, said, 503, "unavailable")
	(&Verifier{}).Close()
}

func TestNotSetUp(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	log := w.v.Log
	for name, v := range map[string]*Verifier{
		"nothing":    {Log: log},
		"no client":  {Log: log, Linker: &link.Linker{Store: w.store}},
		"bad client": {Log: log, Linker: &link.Linker{Store: w.store}, Ory: &oryWithBadURL},
	} {
		for _, h := range []http.Handler{v.Require(http.HandlerFunc(whoIs)), v.Optional(http.HandlerFunc(whoIs)), v.Me()} {
			if status, _ := through(h, byToken(token)); status != 503 {
				t.Errorf("%s: %d", name, status)
			}
		}
		v.Purge("x")
		if err := v.Check(); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
