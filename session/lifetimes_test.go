package session

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Every lifetime has a test with a clock of its own:
//
// 	an answer: MaxStale, the session's own end        TestStaleness
// 	an answer in use, asked again in the background   TestRefresh, TestRefreshFails
// 	OutageGrace, extended by a second at a time       TestGrace
// 	a denial, and a 401 for an unknown credential     TestNegativeAnswersAreRemembered, TestDenied
// 	a policy's denial                                 TestPolicies
// 	a known session                                   TestKnownForADay, TestMemoryIsShared
// 	a purge                                           TestPurgesAreKept
// 	the edge cache of Ory Network                     TestEdgeCache
// 	a question; the breaker's pause and its wait      TestQuestionTimeout, TestBreaker, TestStall
// 	items that are pending for other replicas         TestMemoryDown, TestTellAgain

// TestKnownForADay checks that a session that was not used for a day is still known, so
// that the admin API is asked about a 401. After two days it is not known any more.
func TestKnownForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		token, s := w.person(1)
		w.set(func() { s.expires = time.Now().Add(1000 * time.Hour) })
		w.ask(byToken(token))
		at := func(hours time.Duration, n, want int) {
			t.Helper()
			time.Sleep(hours * time.Hour)
			w.set(func() { w.tableBroken = false })
			other, _ := w.person(n)
			w.ask(byToken(other)) // other people sign in
			w.set(func() { w.tableBroken = true })
			if status, _ := w.ask(byToken(token)); status != want {
				t.Errorf("%d, want %d", status, want)
			}
		}
		at(24, 2, 503)
		at(1, 3, 503)
		at(25, 4, 401) // 50 hours later
	})
}

// TestPurgesAreKept checks that a purge is remembered as long as an answer from before it
// may be used, with the longest grace and after many other purges, and no longer.
func TestPurgesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.v.OutageGrace = time.Hour
		token, s := w.person(1)
		stays, _ := w.person(2)
		w.ask(byToken(token))
		w.ask(byToken(stays))
		w.v.PurgeSession(s.id)
		w.set(func() { w.refuse = true })
		for minute := range 61 {
			w.v.PurgeSession(fmt.Sprint(minute))
			if status, _ := w.ask(byToken(token)); status != 503 {
				t.Fatalf("minute %d: %d", minute, status)
			}
			if status, _ := w.ask(byToken(stays)); status != 200 {
				t.Fatalf("minute %d: %d for another person", minute, status)
			}
			time.Sleep(time.Minute)
		}
		if n := len(w.v.purges.of); n < 60 {
			t.Errorf("only %d are remembered", n)
		}
		time.Sleep(2 * time.Hour)
		w.v.PurgeSession("later")
		if n := len(w.v.purges.of); n != 1 {
			t.Errorf("%d are remembered", n)
		}
	})
}
