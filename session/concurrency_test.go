package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// TestStampede: ten thousand requests with one session that is not cached cost one
// question.
func TestStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		token, _ := w.person(1)
		var ok atomic.Int64
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if status, _ := w.ask(byToken(token)); status == 200 {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 10_000 || w.times("whoami") != 1 || w.store.looks != 1 {
			t.Errorf("%d let in, %v, %d look-ups", ok.Load(), w.asked, w.store.looks)
		}
	})
}

// TestCancel: a caller that gives up is answered at once and leaves the question to the
// others, even if it began the question.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 2 * time.Second
		token, _ := w.person(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := w.v.Authenticate(byToken(token).WithContext(ctx))
			first <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if status, said := w.ask(byToken(token)); status != 200 {
					t.Errorf("got %d %s", status, said)
				}
			})
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) || Denied(err) {
			t.Errorf("the first: %v", err)
		}
		wg.Wait()
		if w.times("whoami") != 1 {
			t.Errorf("%v", w.asked)
		}
	})
}

// TestQuestionTimeout: a question that Ory never answers ends after questionTimeout, even
// if nobody waits.
func TestQuestionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range maxStrangersFlying {
			_, err := w.v.Authenticate(byToken(fmt.Sprintf("ory_st_%d", n)).WithContext(ctx))
			if Denied(err) {
				t.Fatal(err)
			}
		}
		began := time.Now()
		status, said := w.ask(byToken("ory_st_one_more")) // too many are under way
		expect(t, status, said, 503, "unavailable")
		if time.Since(began) != 0 {
			t.Error("it waited")
		}
		time.Sleep(questionTimeout + time.Second)
		if n := w.v.flights.Len(); n != 0 {
			t.Errorf("%d questions are still under way", n)
		}
		w.set(func() { w.latency = 0 })
		token, _ := w.person(1)
		if status, _ := w.ask(byToken(token)); status != 200 {
			t.Errorf("afterwards: %d", status)
		}
	})
}

// TestJunkTakesNoPlaces: while much junk is sent to a slow Ory, a person who is signed in
// is refreshed, and let in again after a purge, as without the junk.
func TestJunkTakesNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		token, s := w.person(1)
		w.ask(byToken(token))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for second := range 15 {
			for n := range maxFlights { // from clients that do not wait
				_, _ = w.v.Authenticate(byToken(fmt.Sprintf("ory_st_junk%d_%d", second, n)).WithContext(gone))
			}
			if second == 5 {
				w.v.PurgeSession(s.id)
			}
			began := time.Now()
			status, _ := w.ask(byToken(token))
			if took := time.Since(began); status != 200 || took > time.Second || took > 0 && second != 5 {
				t.Fatalf("second %d: %d after %s", second, status, took)
			}
			time.Sleep(time.Second)
		}
		w.set(func() {
			if w.most > maxAsking {
				t.Errorf("%d questions at once", w.most)
			}
		})
	})
}

// TestCloseEndsQuestions: Close does not wait for Ory.
func TestCloseEndsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Hour
		done := make(chan int)
		go func() {
			status, _ := w.ask(byToken("ory_st_x"))
			done <- status
		}()
		synctest.Wait()
		began := time.Now()
		w.v.Close()
		if status := <-done; status != 503 || time.Since(began) != 0 {
			t.Errorf("%d after %s", status, time.Since(began))
		}
	})
}

// torture is the number of rounds of a test: a part of n in every run, and n under `make
// torture`.
func torture(ci, all int) int {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return all
	}
	return ci
}

// TestNoMixUp: 1,000 sessions with very many requests at once. Callers give up, answers
// are evicted, purged, refreshed and extended by OutageGrace, each has a row of the
// application, and cookies and tokens are mixed. Every answer belongs to the credential
// that was sent (INVARIANTS I7).
func TestNoMixUp(t *testing.T) {
	const sessions, workers = 1000, 64
	requests := torture(50_000, 5_000_000)
	w := newWorld(t)
	w.v.MaxSessions, w.v.MaxStale, w.v.OutageGrace = 600, 100*time.Millisecond, time.Hour // evictions and expiry all the time
	rows := Load(w.v, func(_ context.Context, u symbolon.User) (string, error) { return "row of " + string(u.ID), nil })
	var creds [sessions][]string
	var people [sessions]*fakeSession
	for n := range sessions {
		token, s := w.person(n + 1)
		creds[n], people[n] = []string{"X-Session-Token", token}, s
		switch n % 3 {
		case 1:
			creds[n] = []string{"Authorization", "Bearer " + token}
		case 2:
			value := fmt.Sprintf("%s%04d", strings.Repeat("c", 420), n)
			w.shows(s, value)
			creds[n] = []string{"Cookie", "ory_kratos_session=" + value}
		}
	}
	w.latency = 100 * time.Microsecond
	var wrong, allowed, unknown atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(worker), 1))
			for range requests / workers {
				n := rnd.IntN(sessions)
				if rnd.IntN(3) > 0 {
					n %= 100 // some come more often
				}
				r := request(creds[n]...)
				if rnd.IntN(5) == 0 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Duration(rnd.IntN(300))*time.Microsecond, cancel)
					r = r.WithContext(ctx)
				}
				p, err := w.v.Authenticate(r)
				switch {
				case err != nil && Denied(err):
					t.Errorf("session %d: %v", n, err)
				case err != nil:
					unknown.Add(1)
				default:
					allowed.Add(1)
					id := symbolon.IdentityID(people[n].identity)
					row, ok := rows.From(symbolon.WithPrincipal(t.Context(), p))
					if p.User.ID != userOf(id) || p.User.Identity != id || p.Session.ID != people[n].id || !ok || row != "row of "+string(userOf(id)) {
						wrong.Add(1)
					}
				}
				switch rnd.IntN(2000) {
				case 0:
					w.v.Purge(symbolon.IdentityID(people[n].identity))
				case 1:
					w.v.PurgeSession(people[n].id)
				case 2:
					w.set(func() { w.refuse = !w.refuse })
				}
			}
		})
	}
	wg.Wait()
	if wrong.Load() != 0 || allowed.Load() < int64(requests)/3 {
		t.Errorf("%d wrong, %d allowed, %d unknown", wrong.Load(), allowed.Load(), unknown.Load())
	}
	t.Logf("%d allowed, %d cancelled or unknown, %+v", allowed.Load(), unknown.Load(), w.v.Stats())
}

// TestLentStrings: a question that outlives its request keeps its own copy of the
// credential, because a server such as fasthttp reuses the request's bytes.
func TestLentStrings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		begun := make(chan string)
		token, s := w.person(1)
		other, _ := w.person(2)
		lent := []byte(token)
		r := byToken(unsafe.String(&lent[0], len(lent)))
		ask := func() {
			ctx, cancel := context.WithCancel(t.Context())
			w.set(func() { w.begun = begun })
			go func() {
				<-begun // before Ory reads what it was sent
				cancel()
			}()
			_, _ = w.v.Authenticate(r.WithContext(ctx))
			w.set(func() { w.begun = nil })
		}
		ask()
		copy(lent, other)
		time.Sleep(2 * time.Second)
		for range 2 {
			status, said := w.ask(byToken(token))
			expect(t, status, said, 200, string(userOf(symbolon.IdentityID(s.identity))))
			copy(lent, token) // and a refresh
			time.Sleep(8 * time.Second)
			_, _ = w.v.Authenticate(r)
			copy(lent, other)
			time.Sleep(1500 * time.Millisecond)
		}
		if w.times("whoami") < 2 {
			t.Errorf("%v", w.asked)
		}
	})
}

// TestPrincipalIsShared: nothing of one request gets into the next one.
func TestPrincipalIsShared(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	a, _ := w.v.Authenticate(byToken(token))
	b, _ := w.v.Authenticate(byToken(token))
	if a != b {
		t.Error("a cached answer is copied")
	}
}

// TestCanaries: no credential appears in any answer or log (INVARIANTS I16).
func TestCanaries(t *testing.T) {
	w := newWorld(t)
	w.v.Linker.Log = w.v.Log
	var said strings.Builder
	canary := func(n int) string { return fmt.Sprintf("ory_st_canary%d", n) }
	answers := []func(){
		func() {},
		func() { w.down = true },
		func() { w.tableBroken = true },
		func() { w.store.panic = true },
		func() { w.store.fail = errors.New("no such table") },
	}
	n := 0
	for _, fault := range answers {
		w.down, w.tableBroken, w.store.panic, w.store.fail = false, false, false, nil
		fault()
		for _, header := range [][]string{
			{"X-Session-Token", canary(1)}, {"Authorization", "Bearer " + canary(2)}, {"Cookie", "ory_kratos_session=canary" + fmt.Sprintf("%02d", n)},
			{"X-Session-Token", "bad canary"}, {"Cookie", "ory_kratos_session=\"canary\""},
		} {
			n++
			_, s := w.person(n)
			w.shows(s, canary(1))
			r := request(header...)
			for _, h := range []http.Handler{w.v.Require(whoIsHandler), w.v.Optional(whoIsHandler), w.v.Me()} {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				fmt.Fprint(&said, rec.Header(), rec.Body)
				w.v.warned.Store(0)
			}
			w.v.purges.add(s.id, w.v.mono(), 1)
		}
	}
	for where, text := range map[string]string{"answers": said.String(), "log": w.log.String()} {
		if strings.Contains(text, "canary") {
			t.Errorf("the %s show a credential: %s", where, text)
		}
	}
	if !strings.Contains(w.log.String(), "503") {
		t.Errorf("nothing was logged: %s", w.log.String())
	}
	if s := fmt.Sprintf("%+v %#v", ory.Credential{Value: "canary"}, ory.Credential{Value: "canary"}); strings.Contains(s, "canary") {
		t.Error(s)
	}
}
