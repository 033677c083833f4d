package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// TestStampede: a thousand requests with one cold session cost one question.
func TestStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Second
		token, _ := w.person(1)
		var ok atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if status, _ := w.ask(byToken(token)); status == 200 {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 1000 || w.times("whoami") != 1 || w.store.looks != 1 {
			t.Errorf("%d let in, %v, %d look-ups", ok.Load(), w.asked, w.store.looks)
		}
	})
}

// TestCancel: a caller that gives up is answered at once and leaves the question
// to the others, the first one too.
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

// TestPatience: questions that Ory never answers end, also when nobody waits.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range maxFlights {
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
		time.Sleep(patience + time.Second)
		w.v.flights.mu.Lock()
		if n := len(w.v.flights.byKey); n != 0 {
			t.Errorf("%d questions are still under way", n)
		}
		w.v.flights.mu.Unlock()
		w.set(func() { w.latency = 0 })
		token, _ := w.person(1)
		if status, _ := w.ask(byToken(token)); status != 200 {
			t.Errorf("afterwards: %d", status)
		}
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

// TestNoMixUp: 200 sessions, many requests at once, callers that give up, answers
// that are evicted and purged, cookies and tokens mixed: every answer is about the
// credential that was shown (INVARIANTS I7).
func TestNoMixUp(t *testing.T) {
	const sessions, workers = 200, 16
	each := 600
	if testing.Short() {
		each = 200
	}
	w := newWorld(t)
	w.v.MaxSessions, w.v.MaxStale = 100, 20*time.Millisecond // evictions and expiry all the time
	var creds [sessions][]string
	var users [sessions]string
	for n := range sessions {
		token, s := w.person(n + 1)
		creds[n], users[n] = []string{"X-Session-Token", token}, "user-of-"+s.identity
		if n%2 == 1 {
			value := fmt.Sprintf("%s%04d", strings.Repeat("c", 420), n)
			w.sessions[value] = s
			creds[n] = []string{"Cookie", "ory_kratos_session=" + value}
		}
	}
	w.latency = 200 * time.Microsecond
	var wrong, allowed, unknown atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(worker), 1))
			for range each {
				n := rnd.IntN(sessions)
				ctx, cancel := context.WithCancel(t.Context())
				if rnd.IntN(5) == 0 {
					time.AfterFunc(time.Duration(rnd.IntN(300))*time.Microsecond, cancel)
				}
				p, err := w.v.Authenticate(request(creds[n]...).WithContext(ctx))
				cancel()
				switch {
				case err != nil && Denied(err):
					t.Errorf("session %d: %v", n, err)
				case err != nil:
					unknown.Add(1)
				case string(p.User.ID) != users[n] || "user-of-"+string(p.User.Identity) != users[n] || !strings.HasPrefix(p.Session.ID, fmt.Sprintf("%08d", n+1)):
					wrong.Add(1)
				default:
					allowed.Add(1)
				}
				if rnd.IntN(100) == 0 {
					w.v.Purge(symbolon.IdentityID(strings.TrimPrefix(users[n], "user-of-")))
				}
			}
		})
	}
	wg.Wait()
	if wrong.Load() != 0 || allowed.Load() < workers*int64(each)/2 {
		t.Errorf("%d wrong, %d allowed, %d cancelled", wrong.Load(), allowed.Load(), unknown.Load())
	}
	t.Logf("%d allowed, %d cancelled, whoami %d times", allowed.Load(), unknown.Load(), w.times("whoami"))
}

// TestPrincipalIsShared: nothing of a request gets into what the next one sees.
func TestPrincipalIsShared(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	a, _ := w.v.Authenticate(byToken(token))
	b, _ := w.v.Authenticate(byToken(token))
	if a != b {
		t.Error("a cached answer is copied")
	}
}

// TestCanaries: no credential shows in any answer or log (INVARIANTS I16).
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
			w.sessions[canary(1)] = s
			r := request(header...)
			for _, path := range []string{"/auth", "/auth/optional", "/x"} {
				rec := httptest.NewRecorder()
				r.URL.Path = path
				(&ForwardAuth{w.v}).ServeHTTP(rec, r)
				fmt.Fprint(&said, rec.Header(), rec.Body)
				w.v.quiet.Store(0)
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
