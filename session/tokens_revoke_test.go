package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/link"
)

// tokenReplica returns another verifier for tokens with the same Ory and store.
func (w *world) tokenReplica(t *testing.T, b *board, s *jwksServer) *Verifier {
	v := &Verifier{Linker: &link.Linker{Ory: w.client, Store: w.store, Log: w.v.Log}, Log: w.v.Log, Memory: b, Broadcast: &seat{board: b}}
	tokens := *w.v.Tokens
	v.Tokens = &tokens
	t.Cleanup(v.Close)
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	return v
}

func tokenStatus(v *Verifier, jwt string) int {
	status, _ := through(v.Require(whoIsHandler), byBearer(jwt))
	return status
}

// TestTokenRevoked checks that a session or an identity that is revoked through one
// replica is refused by every replica within a second, also by a replica that starts
// later, until the token expires. Other people's tokens and later sessions are not
// affected.
func TestTokenRevoked(t *testing.T) {
	for _, all := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, keys := tokenWorld(t)
			b := &board{known: map[[32]byte]string{}}
			one, two := w.tokenReplica(t, b, keys), w.tokenReplica(t, b, keys)
			_, revoked := w.person(1)
			_, bystander := w.person(2)
			_, again := w.person(3)
			w.set(func() { again.identity = revoked.identity })
			gone, stays := tokenise(revoked), tokenise(bystander)
			for _, v := range []*Verifier{one, two} {
				if tokenStatus(v, gone) != 200 || tokenStatus(v, stays) != 200 {
					t.Fatal("not good before")
				}
			}
			var err error
			if all {
				err = one.Revoke(t.Context(), symbolon.IdentityID(revoked.identity))
				w.set(func() { again.active = true }) // the person signs in again
			} else {
				err = one.RevokeSession(t.Context(), revoked.id)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tokenStatus(one, gone); got != 401 {
				t.Errorf("at once: %d", got)
			}
			if got := tokenStatus(one, tokenise(revoked, members{"jti": "another of the session"})); got != 401 {
				t.Errorf("another token of the session: %d", got)
			}
			time.Sleep(time.Second)
			three := w.tokenReplica(t, b, keys)
			for minute := range 9 {
				for n, v := range []*Verifier{one, two, three} {
					if got := tokenStatus(v, gone); got != 401 {
						t.Errorf("replica %d after %d min: %d", n+1, minute, got)
					}
					if tokenStatus(v, stays) != 200 || tokenStatus(v, tokenise(again)) != 200 {
						t.Errorf("replica %d after %d min: another person is refused", n+1, minute)
					}
				}
				time.Sleep(time.Minute)
			}
		})
	}
}

// TestTokenPurged checks that after a purge the admin API is asked once. An active
// session continues. While the admin API does not answer, the answer is "don't know".
func TestTokenPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		_, s := w.person(1)
		jwt := tokenise(s)
		asked := 0
		good := func(what string, more int) {
			t.Helper()
			for range 40 {
				if got := tokenStatus(w.v, jwt); got != 200 {
					t.Errorf("%s: %d", what, got)
				}
				time.Sleep(time.Second)
			}
			if asked += more; w.times("session") != asked || w.times("whoami") != 0 {
				t.Errorf("%s: %v", what, w.asked)
			}
		}
		good("before", 0)
		w.v.PurgeSession(s.id)
		good("the session was purged", 1)
		w.v.Purge(symbolon.IdentityID(s.identity))
		good("the identity was purged", 1)
		w.v.PurgeSession("")
		w.v.PurgeSession("something else")
		good("another person was purged", 0)
		w.v.purge(everything)
		good("everybody was purged", 1)
		w.set(func() { w.down = true })
		good("Ory is down", 0)
		w.v.Purge(symbolon.IdentityID(s.identity))
		if got := tokenStatus(w.v, jwt); got != 503 {
			t.Errorf("purged, and the admin API does not answer: %d", got)
		}
		w.set(func() { w.down, s.inactive = false, true })
		if got := tokenStatus(w.v, jwt); got != 401 {
			t.Errorf("the identity is inactive: %d", got)
		}
	})
}

// TestTokenPurgedWithoutAdmin checks that without an admin API a token that was issued
// before the purge, or in the ten seconds after it, is refused. A newer token is
// accepted.
func TestTokenPurgedWithoutAdmin(t *testing.T) {
	for _, withoutSid := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, _ := tokenWorld(t)
			var more members
			if withoutSid {
				more = members{"sid": nil}
			} else {
				w.withoutAdmin()
			}
			_, s := w.person(1)
			_, other := w.person(2)
			before := tokenise(s, more)
			if tokenStatus(w.v, before) != 200 {
				t.Fatal("not good before")
			}
			time.Sleep(time.Minute)
			w.v.Purge(symbolon.IdentityID(s.identity))
			for range 10 {
				if tokenStatus(w.v, before) != 401 || tokenStatus(w.v, tokenise(s, more)) != 401 {
					t.Error("a token from before the purge was accepted")
				}
				if tokenStatus(w.v, tokenise(other, more)) != 200 {
					t.Error("another person is refused")
				}
				time.Sleep(time.Second)
			}
			time.Sleep(time.Second)
			if tokenStatus(w.v, before) != 401 || tokenStatus(w.v, tokenise(s, more)) != 200 {
				t.Error("wrong answer for a newer or an older token")
			}
		})
	}
}

// TestTokenFromBeforeTheStart checks that without a broadcast the admin API is asked once
// about each token that is older than the process.
func TestTokenFromBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		_, s := w.person(1)
		_, ended := w.person(2)
		w.set(func() { ended.active = false })
		older, revoked := tokenise(s), tokenise(ended)
		time.Sleep(time.Second)
		for second := range 60 {
			if got, no := tokenStatus(w.v, older), tokenStatus(w.v, revoked); got != 200 || no != 401 {
				t.Errorf("after %d s: %d, %d", second, got, no)
			}
			if got := tokenStatus(w.v, tokenise(s)); got != 200 {
				t.Errorf("a newer one: %d", got)
			}
			time.Sleep(time.Second)
		}
		if n := w.times("session"); n < 13 || n > 14 { // and every 5 s about the session that has ended
			t.Errorf("the admin API was asked %d times", n)
		}
	})
}

// TestTokenWaitsForPurges checks that a process that has not yet received the earlier
// purges accepts no token.
func TestTokenWaitsForPurges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, keys := tokenWorld(t)
		b := &board{known: map[[32]byte]string{}, down: true}
		_, s := w.person(1)
		jwt := tokenise(s)
		v := w.tokenReplica(t, b, keys)
		if got := tokenStatus(v, jwt); got != 503 {
			t.Errorf("the broadcast is down from the start: %d", got)
		}
		b.set(false)
		time.Sleep(time.Second)
		if got := tokenStatus(v, jwt); got != 200 {
			t.Errorf("after the broadcast is back: %d", got)
		}
		if w.times("session") != 0 {
			t.Error(w.asked)
		}
		b.set(true)
		time.Sleep(time.Second)
		for range 2 {
			if got := tokenStatus(v, jwt); got != 200 || w.times("session") != 1 {
				t.Errorf("the broadcast is down, and the session is active: %d, %v", got, w.asked)
			}
		}
		w.set(func() { s.active = false })
		time.Sleep(defaultMaxStale)
		if got := tokenStatus(v, jwt); got != 401 {
			t.Errorf("the broadcast is down, and the session has ended: %d", got)
		}
	})
}

// TestTokenOfADeafReplica checks that a replica which hears no purges asks Ory at once about
// each token, although an answer is cached.
func TestTokenOfADeafReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, keys := tokenWorld(t)
		b := &board{known: map[[32]byte]string{}}
		here, there := w.tokenReplica(t, b, keys), w.tokenReplica(t, b, keys)
		time.Sleep(time.Second)
		_, s := w.person(1)
		jwt := tokenise(s)
		answers := make(chan struct{})
		here.Broadcast.(*seat).silent.Store(&answers)
		time.Sleep(listenTest) // the call that was under way returns
		synctest.Wait()
		if got := tokenStatus(here, jwt); got != 200 {
			t.Fatal(got)
		}
		if err := there.RevokeSession(t.Context(), s.id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(hearTimeout - time.Second)
		if got := tokenStatus(here, jwt); got != 200 {
			t.Errorf("the replica does not know yet that it is deaf: %d", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := tokenStatus(here, jwt); got != 401 {
			t.Errorf("after %s without an answer: %d", hearTimeout, got)
		}
		here.Broadcast.(*seat).silent.Store(nil)
		close(answers)
	})
}

// TestTokenFirstSeen checks that an identity without a user gets one from Ory's identity,
// and never from the token.
func TestTokenFirstSeen(t *testing.T) {
	w, _ := tokenWorld(t)
	_, s := w.person(1)
	id := symbolon.IdentityID(s.identity)
	w.store.deny = map[symbolon.IdentityID]error{id: &symbolon.DenyError{Identity: id, Err: symbolon.ErrOnHold}}
	for name, test := range map[string]struct {
		state  string // state at Ory; empty: 404
		status int
		said   string
	}{"": {"", 401, "unauthenticated"}, "inactive": {"inactive", 401, "unauthenticated"}, "active": {"active", 403, "link_on_hold"}} {
		w.set(func() { s.deleted, s.inactive = test.state == "", test.state == "inactive" })
		status, said := w.ask(byBearer(tokenise(s, members{"name": name})))
		if status != test.status || said != test.said {
			t.Errorf("%s: %d %s", name, status, said)
		}
	}
	w.set(func() { w.down = true })
	status, said := w.ask(byBearer(tokenise(s)))
	expect(t, status, said, 503, "unavailable")
}

// TestTokenClock sets the wall clock back by an hour. No known token lives longer, and no
// revoked token is accepted again.
func TestTokenClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		var clock chaos.Clock
		w.v.Now = clock.Now
		_, seen := w.person(1)
		_, revoked := w.person(2)
		token, gone := tokenise(seen), tokenise(revoked)
		if tokenStatus(w.v, token) != 200 || tokenStatus(w.v, gone) != 200 {
			t.Fatal("not good before")
		}
		if err := w.v.RevokeSession(t.Context(), revoked.id); err != nil {
			t.Fatal(err)
		}
		clock.Set(-time.Hour)
		for minute := range 75 {
			if got := tokenStatus(w.v, gone); got != 401 && got != 503 {
				t.Errorf("revoked, after %d min: %d", minute, got)
			}
			if got := tokenStatus(w.v, token); got == 200 && minute >= 10 {
				t.Errorf("expired, after %d min: %d", minute, got)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestTokenBound checks that the published bound covers a token that was issued just
// before another program revoked its session at Ory.
func TestTokenBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		w.v.Tokens.MaxLife = time.Hour
		_, s := w.person(1)
		jwt := tokenise(s, members{"exp": time.Now().Add(time.Hour).Unix()})
		w.set(func() { s.active = false })
		began, last := time.Now(), time.Now()
		for tokenStatus(w.v, jwt) == 200 {
			last = time.Now()
			time.Sleep(time.Second)
		}
		if late := last.Sub(began); late > w.v.Bound() || late < 59*time.Minute {
			t.Errorf("accepted for %s, the bound is %s", late, w.v.Bound())
		}
	})
}
