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

// TestStampede checks that ten thousand requests with one uncached session cost one
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

// TestCancel checks that a caller that gives up is answered at once. The question
// continues for the others, also if this caller began it.
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

// TestQuestionTimeout checks that a question that Ory never answers ends after
// questionTimeout, also if nobody waits.
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
		status, said := w.ask(byToken("ory_st_one_more")) // too many questions run
		expect(t, status, said, 503, "unavailable")
		if time.Since(began) != 0 {
			t.Error("the request waited")
		}
		time.Sleep(questionTimeout + time.Second)
		if n := w.v.flights.Len(); n != 0 {
			t.Errorf("%d questions still run", n)
		}
		w.set(func() { w.latency = 0 })
		token, _ := w.person(1)
		if status, _ := w.ask(byToken(token)); status != 200 {
			t.Errorf("afterwards: %d", status)
		}
	})
}

// TestAnswerTimeout checks that a request is answered within answerTimeout, also if it needs
// several questions one after another.
func TestAnswerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 4 * time.Second
		token, s := w.person(1)
		began, answered := time.Now(), make(chan struct{})
		go func() {
			defer close(answered)
			status, said := w.ask(byToken(token))
			expect(t, status, said, 503, "unavailable")
			if took := time.Since(began); took != answerTimeout {
				t.Errorf("answered after %s", took)
			}
		}()
		for range 4 { // each answer of Ory is void when it arrives
			time.Sleep(3 * time.Second)
			w.v.PurgeSession(s.id)
		}
		<-answered
	})
}

// TestAnswerTimeoutOfAPolicy checks that answerTimeout also holds for a request with a cached
// answer that a policy denies. Such a request waits for a refresh that is under way, and asks
// again after it, because the refresh began before the request.
func TestAnswerTimeoutOfAPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		w.ask(byToken(token))
		w.set(func() { w.latency = 4 * time.Second })
		time.Sleep(9 * time.Second)
		w.ask(byToken(token)) // from the cache; it begins a refresh
		time.Sleep(500 * time.Millisecond)
		began, answered := time.Now(), make(chan struct{})
		go func() {
			defer close(answered)
			status, said := w.ask(byToken(token), AAL2)
			expect(t, status, said, 503, "unavailable")
			if took := time.Since(began); took != answerTimeout {
				t.Errorf("answered after %s", took)
			}
		}()
		time.Sleep(2 * time.Second)
		for range 3 { // each later answer of Ory is void when it arrives
			time.Sleep(3500 * time.Millisecond)
			w.v.PurgeSession(s.id)
		}
		<-answered
	})
}

// TestJunkTakesNoPlaces sends much junk to a slow Ory. A signed-in person's session is
// still refreshed, and is let in again after a purge.
func TestJunkTakesNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		token, s := w.person(1)
		w.ask(byToken(token))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for second := range 15 {
			for n := range maxFlights { // from clients that do not wait for the answer
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

// TestCloseEndsQuestions checks that Close does not wait for Ory.
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

// torture returns the number of rounds of a test: ci in every run, all with `make
// torture`.
func torture(ci, all int) int {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return all
	}
	return ci
}

// TestNoMixUp has 1,000 sessions with very many concurrent requests. Callers give up.
// Answers are evicted, purged, refreshed and extended by OutageGrace. Each session has a
// row of the application. Cookies and tokens are mixed. Every answer belongs to the
// credential that was sent (INVARIANTS I7).
func TestNoMixUp(t *testing.T) {
	const sessions, workers = 1000, 64
	requests := torture(20_000, 5_000_000)
	w := newWorld(t)
	w.v.MaxSessions, w.v.MaxStale, w.v.OutageGrace = 600, 100*time.Millisecond, time.Hour // many evictions and expiries
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
					n %= 100 // some sessions are used more often
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
		t.Errorf("%d wrong, %d let in, %d unknown", wrong.Load(), allowed.Load(), unknown.Load())
	}
	t.Logf("%d let in, %d cancelled or unknown, %+v", allowed.Load(), unknown.Load(), w.v.Stats())
}

// TestLentStrings checks that a question that outlives its request copies its credential,
// because a server such as fasthttp reuses the request's bytes.
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
				<-begun // before Ory reads the request
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
			copy(lent, token) // for a refresh
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

// TestPrincipalIsShared checks that a change by one request does not reach the next one.
func TestPrincipalIsShared(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	a, _ := w.v.Authenticate(byToken(token))
	b, _ := w.v.Authenticate(byToken(token))
	if a != b {
		t.Error("a cached answer was copied")
	}
}

// TestCanaries checks that no answer and no log has a credential (INVARIANTS I16).
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
			t.Errorf("the %s have a credential: %s", where, text)
		}
	}
	if !strings.Contains(w.log.String(), "503") {
		t.Errorf("nothing was logged: %s", w.log.String())
	}
	if s := fmt.Sprintf("%+v %#v", ory.Credential{Value: "canary"}, ory.Credential{Value: "canary"}); strings.Contains(s, "canary") {
		t.Error(s)
	}
}
