package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// TestRefresh checks that a session in use is asked again before its answer is too old,
// with one question, and that no request waits for it. The answer for an unused session
// expires.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		used, _ := w.person(1)
		idle, _ := w.person(2)
		w.ask(byToken(used))
		w.ask(byToken(idle))
		for range 600 { // a minute: ten requests a second, at most twenty at a time
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if status, _ := w.ask(byToken(used)); status != 200 {
						t.Errorf("%d", status)
					}
				})
			}
			wg.Wait()
			if took := time.Since(began); took != 0 {
				t.Fatalf("a request waited %s", took)
			}
		}
		time.Sleep(2 * time.Second) // running questions end
		// An answer is valid for 10 s and renewed after 5/8 to 7/8 of this time.
		if n := w.times("whoami") - 2; n < 6 || n > 10 {
			t.Errorf("%d refreshes in a minute", n)
		}
		if s := w.v.Stats(); s.Renewed != uint64(w.times("whoami")-2) {
			t.Errorf("%+v", s)
		}
	})
}

// TestRefreshFails checks that the previous answer is used until MaxStale, and that Ory
// is asked at most once a second meanwhile.
func TestRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		w.ask(byToken(token))
		w.set(func() { w.down = true })
		for range 99 {
			time.Sleep(100 * time.Millisecond)
			if status, _ := w.ask(byToken(token)); status != 200 {
				t.Fatalf("%d within MaxStale", status)
			}
		}
		if n := w.times("whoami"); n < 2 || n > 6 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(100 * time.Millisecond)
		status, said := w.ask(byToken(token))
		expect(t, status, said, 503, "unavailable")
		// A refresh that finds the session ended has its effect before MaxStale.
		w.set(func() { w.down = false })
		w.ask(byToken(token))
		w.set(func() { s.active = false })
		time.Sleep(9 * time.Second)
		w.ask(byToken(token))
		synctest.Wait()
		status, said = w.ask(byToken(token))
		expect(t, status, said, 401, "unauthenticated")
	})
}

// TestRefreshParts checks that answers that arrived together are not refreshed together.
func TestRefreshParts(t *testing.T) {
	first, last := int64(forever), int64(never)
	for n := range 256 {
		at := renewAt(key{byte(n)}, 0, 8*time.Second)
		first, last = min(first, at), max(last, at)
	}
	if first != int64(5*time.Second) || last < int64(69*time.Second/10) || last > int64(7*time.Second) {
		t.Errorf("an answer of 8 s is renewed after %s to %s", time.Duration(first), time.Duration(last))
	}
	if renewAt(key{}, 1, forever) < 0 {
		t.Error("the time overflowed")
	}
}

// TestGrace checks that an answer is used OutageGrace longer while Ory does not answer,
// but not after a denial or a purge.
func TestGrace(t *testing.T) {
	inconclusive := map[string]func(w *world){
		"database down": func(w *world) { w.down = true },
		"table broken":  func(w *world) { w.tableBroken = true }, // the admin API still shows the session
		"500":           func(w *world) { w.answer = always(500, body500) },
		"HTML":          func(w *world) { w.answer = always(200, "<html>") },
		"429":           func(w *world) { w.answer = always(429, "") },
		"no connection": func(w *world) { w.refuse = true },
	}
	for name, fault := range inconclusive {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.v.OutageGrace = 20 * time.Second
				if w.v.Bound() != 30*time.Second {
					t.Errorf("%s", w.v.Bound())
				}
				token, _ := w.person(1)
				purged, p := w.person(2)
				short, s := w.person(3)
				w.set(func() { s.expires = time.Now().Add(15 * time.Second) })
				for _, token := range []string{token, purged, short} {
					w.ask(byToken(token))
				}
				w.set(func() { fault(w) })
				proved := 503 // for a session that has ended or was never seen, while the admin API answers
				if name == "table broken" {
					proved = 401
				}
				at := func(when time.Duration, token string, want int) {
					t.Helper()
					if status, said := w.ask(byToken(token)); status != want {
						t.Errorf("at %s: got %d %s, want %d", when, status, said, want)
					}
				}
				for tick := range 301 {
					now := time.Duration(tick) * 100 * time.Millisecond
					switch tick {
					case 120:
						w.v.PurgeSession(p.id)
					case 150:
						at(now, short, proved)
					case 300:
						at(now, token, 503)
					}
					if tick < 300 {
						at(now, token, 200)
					}
					if tick >= 120 {
						at(now, purged, 503)
					} else {
						at(now, purged, 200)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := w.v.Stats().ServedStale; n < 15 || n > 30 {
					t.Errorf("%d answers were served stale", n)
				}
				at(0, "ory_st_never_seen", proved)
				w.set(func() { w.down, w.tableBroken, w.answer, w.refuse = false, false, nil, false })
				time.Sleep(time.Minute) // the longest pause after a 429
				at(0, token, 200)
				at(0, purged, 200)
			})
		})
	}
}

// TestNoGrace checks that every answer of Ory other than a fault ends the cached answer
// at MaxStale.
func TestNoGrace(t *testing.T) {
	words := map[string]struct {
		change func(w *world, s *fakeSession)
		status int
	}{
		"revoked":       {func(_ *world, s *fakeSession) { s.active = false }, 401},
		"inactive":      {func(_ *world, s *fakeSession) { s.inactive = true }, 401},
		"second factor": {func(_ *world, s *fakeSession) { s.needsAAL2 = true }, 403},
		"not active": {func(w *world, s *fakeSession) {
			w.answer = always(200, strings.Replace(w.json(s), `"active":true`, `"active":false`, 1))
		}, 503},
		"user gone": {func(w *world, s *fakeSession) {
			w.store.deny = map[symbolon.IdentityID]error{symbolon.IdentityID(s.identity): &symbolon.DenyError{Err: symbolon.ErrUserGone}}
		}, 403},
		"our database": {func(w *world, _ *fakeSession) { w.store.fail = errors.New("down") }, 503},
		"proof elsewhere": {func(w *world, s *fakeSession) {
			s.active = false
			w.v.known.remember(w.v.key(credOf(w, s)), sessionID{}, w.v.mono(), 0)
		}, 401},
	}
	for name, word := range words {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.v.OutageGrace = time.Hour
				token, s := w.person(1)
				w.ask(byToken(token))
				w.set(func() { word.change(w, s) })
				time.Sleep(10 * time.Second)
				if status, said := w.ask(byToken(token)); status != word.status {
					t.Errorf("got %d %s, want %d", status, said, word.status)
				}
				if name == "our database" { // a fault of our database is no answer about the session
					return
				}
				w.set(func() { w.refuse = true }) // a later outage must not bring it back either
				for range 20 {
					if status, _ := w.ask(byToken(token)); status == 200 {
						t.Fatal("the person was let in again")
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func always(status int, body string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response { return response(status, body) }
}

// TestBreaker checks that an unreachable Ory is asked once a second. Cached answers are
// used meanwhile, and the first answer closes the breaker within a second.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.v.OutageGrace = 15 * time.Second
		token, _ := w.person(1)
		other, _ := w.person(2)
		w.ask(byToken(token))
		w.set(func() { w.refuse = true })
		for n := range 100 {
			status, said := w.ask(byToken(fmt.Sprintf("ory_st_other%d", n)))
			expect(t, status, said, 503, "unavailable")
		}
		if w.times("refused") != tripsAfter || !w.v.Stats().BreakerOpen {
			t.Errorf("%v", w.asked)
		}
		for range 24 * 10 {
			if status, _ := w.ask(byToken(token)); status != 200 {
				t.Fatalf("cached, or served stale: %d", status)
			}
			if status, _ := w.ask(byToken(other)); status != 503 {
				t.Fatalf("%d", status)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.times("refused") - tripsAfter; n < 20 || n > 24 {
			t.Errorf("%d questions in 24 s", n)
		}
		w.set(func() { w.refuse = false })
		began := time.Now()
		for {
			if status, _ := w.ask(byToken(other)); status == 200 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > time.Second || w.v.Stats().BreakerOpen {
			t.Errorf("back after %s, %+v", took, w.v.Stats())
		}
	})
}

// TestStall checks that an Ory that accepts connections and never answers costs only the
// first requests their timeout.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Hour
		var wg sync.WaitGroup
		for n := range 300 {
			wg.Go(func() { w.ask(byToken(fmt.Sprintf("ory_st_%d", n))) })
		}
		wg.Wait()
		began := time.Now()
		for n := range 300 {
			status, said := w.ask(byToken(fmt.Sprintf("ory_st_later%d", n)))
			expect(t, status, said, 503, "unavailable")
		}
		if took := time.Since(began); took > 2*probeWait {
			t.Errorf("the request waited %s", took)
		}
		if w.most > maxAsking {
			t.Errorf("%d questions at once", w.most)
		}
		w.set(func() { w.latency = 0 })
		token, _ := w.person(1)
		time.Sleep(time.Second)
		if status, _ := w.ask(byToken(token)); status != 200 { // this question is the probe
			t.Errorf("%d after Ory's recovery", status)
		}
		time.Sleep(questionTimeout) // running questions end
	})
}

// TestBreakerStaysClosed checks that no answer opens the breaker, for any number of
// credentials, and that a single fault between answers does not open it.
func TestBreakerStaysClosed(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) *http.Response{
		"500": always(500, body500), "401": always(401, body401), "403": always(403, bodyAAL), "429": always(429, ""), "502": always(502, "bad gateway"),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.answer = answer
			for n := range 50 {
				w.ask(byToken(fmt.Sprintf("ory_st_%d", n)))
			}
			if w.v.Stats().BreakerOpen {
				t.Errorf("%s opens the breaker", name)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 100 {
			token, _ := w.person(n)
			w.set(func() { w.refuse = n%tripsAfter != 0 })
			w.ask(byToken(token))
			if w.v.Stats().BreakerOpen {
				t.Fatal("faults with answers between them open the breaker")
			}
		}
	})
	var b breaker
	b.record(0, 1000, answered)
	for n := range int64(100) { // of questions that were sent before the last answer
		if _, open := b.record(n, n+1001, fault); open {
			t.Fatal("late faults open the breaker")
		}
	}
	for n := range 100 {
		b.record(int64(2000+n), int64(2000+n), inconclusive)
	}
	if b.open.Load() {
		t.Error("cancelled questions open the breaker")
	}
}

// TestReturnOfOry checks that everybody who waited returns at once when Ory recovers. Ory
// gets one question for each session, and at a time at most as many as there are slots.
// All sessions are let in.
func TestReturnOfOry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const many = 2000
		tokens := make([]string, many)
		for n := range tokens {
			tokens[n], _ = w.person(n)
		}
		w.refuse = true
		for n := range many {
			w.ask(byToken(tokens[n]))
		}
		w.set(func() { w.refuse, w.latency, w.most = false, 50*time.Millisecond, 0 })
		time.Sleep(time.Second)
		w.ask(byToken(tokens[0]))
		before := w.times("whoami")
		var wg sync.WaitGroup
		var ok atomic.Int64
		for _, token := range tokens[1:] {
			for range 3 {
				wg.Go(func() {
					if status, _ := w.ask(byToken(token)); status == 200 {
						ok.Add(1)
					}
				})
			}
		}
		wg.Wait()
		if asked := w.times("whoami") - before; ok.Load() != 3*(many-1) || asked != many-1 || w.most > maxAsking {
			t.Errorf("%d of %d let in by %d questions, %d at once", ok.Load(), 3*(many-1), asked, w.most)
		}
	})
}

// TestBound checks the published bound for each setting.
func TestBound(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*Verifier)
		want time.Duration
	}{
		"nothing": {func(*Verifier) {}, 10 * time.Second},
		"stale":   {func(v *Verifier) { v.MaxStale = 3 * time.Second }, 3 * time.Second},
		"grace":   {func(v *Verifier) { v.OutageGrace = time.Minute }, 70 * time.Second},
		"edge":    {func(v *Verifier) { v.Linker.Ory.(*ory.Client).EdgeCache = true }, 160 * time.Second},
		"all": {func(v *Verifier) {
			v.MaxStale, v.OutageGrace = time.Second, 20*time.Second
			v.Linker.Ory.(*ory.Client).EdgeCache = true
		}, 171 * time.Second},
	} {
		w := newWorld(t)
		test.set(w.v)
		if got := w.v.Bound(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestEdgeCache checks that with ory.edge_cache, every question after a purge bypasses
// the edge cache of Ory Network, for the cache's longest lifetime.
func TestEdgeCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.client.EdgeCache = true
		token, s := w.person(1)
		var past atomic.Bool
		w.answer = func(r *http.Request) *http.Response {
			if r.URL.Path == "/sessions/whoami" {
				past.Store(r.Header.Get("Cache-Control") != "")
			}
			return nil
		}
		ask := func(want bool) {
			t.Helper()
			w.ask(byToken(token))
			if past.Load() != want {
				t.Errorf("questions past the edge cache: %v, want %v", past.Load(), want)
			}
		}
		ask(false)
		w.v.PurgeSession(s.id)
		ask(true)
		time.Sleep(150*time.Second - time.Nanosecond)
		ask(true)
		time.Sleep(11 * time.Second)
		ask(false)
	})
}

// TestLimits checks that the cache has at most MaxSessions answers and MaxBytes bytes,
// including the rows of Load.
func TestLimits(t *testing.T) {
	for name, limit := range map[string]struct {
		sessions int
		bytes    int64
	}{"sessions": {100, 1 << 30}, "bytes": {100_000, 100 << 10}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.v.MaxSessions, w.v.MaxBytes = limit.sessions, limit.bytes
			Load(w.v, func(context.Context, symbolon.User) (blob, error) { return make(blob, 300), nil })
			for n := range 2000 {
				token, _ := w.person(n)
				if status, _ := w.ask(byToken(token)); status != 200 {
					t.Fatal(status)
				}
			}
			w.v.cache.CleanUp()
			s := w.v.Stats()
			var bytes int64
			for _, e := range w.v.cache.All() {
				bytes += int64(e.size)
			}
			if s.Sessions > limit.sessions || bytes > limit.bytes || s.Sessions < 50 {
				t.Errorf("%+v, %d bytes", s, bytes)
			}
		})
	}
}

type blob []byte

func (b blob) Size() int { return len(b) }
