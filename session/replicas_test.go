package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// board is the shared memory of replicas. The real one is tested in sqlstore and end to
// end.
type board struct {
	mu     sync.Mutex
	known  map[[32]byte]string
	writes []int // sizes of the batches
	recall int
	sent   []string
	down   bool
}

var errDown = errors.New("the database is down")

func (b *board) Remember(_ context.Context, sessions map[[32]byte]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errDown
	}
	maps.Copy(b.known, sessions)
	b.writes = append(b.writes, len(sessions))
	return nil
}

func (b *board) Recall(_ context.Context, credential [32]byte) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recall++
	if b.down {
		return "", errDown
	}
	return b.known[credential], nil
}

func (b *board) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

// seat is a replica's access to a board.
type seat struct {
	*board
	heard  int
	begun  bool
	silent atomic.Pointer[chan struct{}] // the next call of Hear waits for it
}

func (s *seat) Tell(_ context.Context, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	s.sent = append(s.sent, ids...)
	return nil
}

func (s *seat) Hear(ctx context.Context) ([]string, error) {
	if silent := s.silent.Load(); silent != nil {
		<-*silent
	}
	if s.begun {
		t := time.NewTimer(listenTest)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	s.begun = true
	ids := slices.Clone(s.sent[s.heard:])
	s.heard = len(s.sent)
	return ids, nil
}

// replica returns another verifier with the same Ory and store.
func (w *world) replica(t *testing.T, b *board) *Verifier {
	v := &Verifier{Linker: &link.Linker{Ory: w.client, Store: w.store, Log: w.v.Log}, Log: w.v.Log, Memory: b, Broadcast: &seat{board: b}}
	t.Cleanup(v.Close)
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) status(v *Verifier, token string) int {
	status, _ := through(v.Require(whoIsHandler), byToken(token))
	return status
}

// TestMemoryIsShared checks that a replica that has never seen a session proves its 401
// by the memory of another replica. The memory is written in batches, once a day per
// session, and read only for proofs.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), &board{known: map[[32]byte]string{}}
		a := w.replica(t, b)
		tokens := make([]string, 50)
		sessions := make([]*fakeSession, len(tokens))
		for n := range tokens {
			tokens[n], sessions[n] = w.person(n + 1)
			for range 3 {
				if status := w.status(a, tokens[n]); status != 200 {
					t.Fatal(status)
				}
			}
		}
		time.Sleep(writeDelay)
		synctest.Wait()
		if !slices.Equal(b.writes, []int{50}) || b.recall != 0 {
			t.Errorf("written %v, read %d times", b.writes, b.recall)
		}
		w.set(func() { w.tableBroken = true }) // readiness and the admin API are good, so only the memory can prove the 401
		fresh := w.replica(t, b)
		for _, token := range tokens {
			if status := w.status(fresh, token); status != 503 {
				t.Errorf("a replica that has just started: %d", status)
			}
		}
		if b.recall != 50 {
			t.Errorf("read %d times", b.recall)
		}
		w.set(func() { w.tableBroken = false; sessions[0].active = false })
		if status := w.status(fresh, tokens[0]); status != 401 {
			t.Errorf("a session that was really revoked: %d", status)
		}
		if status := w.status(fresh, tokens[1]); status != 200 || b.recall != 50 {
			t.Errorf("%d, read %d times", status, b.recall)
		}
		// Nothing is written again on the same day, but on the next day.
		time.Sleep(time.Hour)
		synctest.Wait()
		w.status(a, tokens[1])
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.writes) > 2 {
			t.Errorf("written %v", b.writes)
		}
		w.set(func() { sessions[1].expires = time.Now().Add(100 * time.Hour) })
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		before := len(b.writes)
		w.status(a, tokens[1])
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.writes) != before+1 {
			t.Errorf("written %v", b.writes)
		}
		closeAll(a, fresh)
	})
}

// closeAll stops goroutines before their synctest bubble ends.
func closeAll(vs ...*Verifier) {
	for _, v := range vs {
		v.Close()
	}
}

// TestMemoryDown checks that requests never wait for the memory. A failed write is
// repeated later. A failed read is "don't know".
func TestMemoryDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), &board{known: map[[32]byte]string{}, down: true}
		a, other := w.replica(t, b), w.replica(t, b)
		token, s := w.person(1)
		began := time.Now()
		if status := w.status(a, token); status != 200 || time.Since(began) != 0 {
			t.Errorf("%d after %s", status, time.Since(began))
		}
		if status := w.status(other, "ory_st_junk"); status != 503 {
			t.Errorf("perhaps known to another replica: %d", status)
		}
		w.set(func() { s.active = false })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if status := w.status(a, token); status != 401 {
			t.Errorf("known to this process: %d", status)
		}
		if a.Stats().MemoryPending != 1 || !a.Stats().BroadcastDown {
			t.Errorf("%+v", a.Stats())
		}
		b.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.known) != 1 || a.Stats().MemoryPending != 0 || a.Stats().BroadcastDown {
			t.Errorf("%d written, %+v", len(b.known), a.Stats())
		}
		if status := w.status(other, "ory_st_junk"); status != 401 {
			t.Errorf("junk: %d", status)
		}
		// Close writes pending entries.
		later, _ := w.person(2)
		w.status(a, later)
		closeAll(a, other)
		if len(b.known) != 2 {
			t.Errorf("%d written", len(b.known))
		}
	})
}

// TestBroadcastOutageIsLogged checks that an outage is logged when it begins, once a minute, and
// when it ends.
func TestBroadcastOutageIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), &board{known: map[[32]byte]string{}}
		a := w.replica(t, b)
		token, _ := w.person(1)
		count := func(text string) int { return strings.Count(w.log.String(), text) }
		time.Sleep(time.Second)
		for outage := 1; outage <= 2; outage++ {
			b.set(true)
			time.Sleep(time.Second)
			w.status(a, token)
			a.PurgeSession("4c5b2a6e-0d0e-4b7d-9c5e-3f3b4a5d6e7f")
			time.Sleep(150 * time.Second)
			if down, memory, purges := count("do not arrive"), count("cannot be written to Memory"), count("cannot be sent"); down != 3*outage || memory > 3*outage || purges > 3*outage {
				t.Errorf("outage %d: %d, %d and %d warnings", outage, down, memory, purges)
			}
			b.set(false)
			time.Sleep(time.Second)
			synctest.Wait()
			if n := count("arrive again"); n != outage {
				t.Errorf("the end of outage %d was logged %d times", outage, n)
			}
		}
	})
}

// TestSilentBroadcast checks that the broadcast is down if a call of Hear does not return
// for three seconds and ignores its context. After its return the missed purges apply.
func TestSilentBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), &board{known: map[[32]byte]string{}}
		a, other := w.replica(t, b), w.replica(t, b)
		token, s := w.person(1)
		if status := w.status(other, token); status != 200 {
			t.Fatal(status)
		}
		answers := make(chan struct{})
		other.Broadcast.(*seat).silent.Store(&answers)
		time.Sleep(time.Second) // the call that was under way returns
		other.Broadcast.(*seat).silent.Store(nil)
		time.Sleep(hearTimeout - 3*listenTest)
		synctest.Wait()
		if other.Stats().BroadcastDown {
			t.Error("down before its time")
		}
		time.Sleep(2 * listenTest)
		synctest.Wait()
		if !other.Stats().BroadcastDown || a.Stats().BroadcastDown {
			t.Errorf("after a silence of %v: %+v", hearTimeout, other.Stats())
		}
		w.set(func() { s.active = false })
		a.PurgeSession(s.id)
		time.Sleep(time.Second)
		close(answers)
		time.Sleep(time.Second)
		synctest.Wait()
		if status := w.status(other, token); status != 401 || other.Stats().BroadcastDown {
			t.Errorf("after the silence: %d, %+v", status, other.Stats())
		}
	})
}

// listenTest is how long a call of seat.Hear takes.
const listenTest = 500 * time.Millisecond

// TestPurgeEverywhere checks that every purge reaches all replicas within a second:
// Purge, Revoke, and a changed link.
func TestPurgeEverywhere(t *testing.T) {
	ways := map[string]func(w *world, v *Verifier, s *fakeSession) error{
		"Purge": func(_ *world, v *Verifier, s *fakeSession) error {
			v.Purge(symbolon.IdentityID(s.identity))
			return nil
		},
		"PurgeSession": func(_ *world, v *Verifier, s *fakeSession) error { v.PurgeSession(s.id); return nil },
		"Revoke": func(_ *world, v *Verifier, s *fakeSession) error {
			return v.Revoke(context.Background(), symbolon.IdentityID(s.identity))
		},
		"RevokeSession": func(_ *world, v *Verifier, s *fakeSession) error { return v.RevokeSession(context.Background(), s.id) },
		"Linker": func(w *world, v *Verifier, s *fakeSession) error {
			w.store.hold = symbolon.IdentityID(s.identity)
			_, err := v.Linker.Link(context.Background(), symbolon.Reading{Identity: symbolon.Identity{ID: w.store.hold}, Source: symbolon.FromOperator})
			if errors.Is(err, symbolon.ErrOnHold) {
				err = nil
			}
			return err
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, b := newWorld(t), &board{known: map[[32]byte]string{}}
				a, other := w.replica(t, b), w.replica(t, b)
				time.Sleep(time.Second)
				synctest.Wait()
				token, s := w.person(1)
				for _, v := range []*Verifier{a, other} {
					if status := w.status(v, token); status != 200 {
						t.Fatal(status)
					}
				}
				w.set(func() { s.active = name == "Linker" })
				if err := way(w, a, s); err != nil {
					t.Fatal(err)
				}
				want := 401
				if name == "Linker" {
					want = 403
				}
				if status := w.status(a, token); status != want {
					t.Errorf("here: %d", status)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if status := w.status(other, token); status != want {
					t.Errorf("there: %d", status)
				}
				closeAll(a, other)
			})
		})
	}
}

// TestTellAgain checks that a failed broadcast is repeated, that a broadcast that is too
// large becomes "everything", and that a replica that could not receive for a while
// misses nothing.
func TestTellAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), &board{known: map[[32]byte]string{}}
		a, other := w.replica(t, b), w.replica(t, b)
		time.Sleep(time.Second)
		synctest.Wait()
		token, s := w.person(1)
		w.status(other, token)
		b.set(true)
		w.set(func() { s.active = false })
		a.PurgeSession(s.id)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if status := w.status(other, token); status != 200 || a.Stats().PurgesPending != 1 {
			t.Errorf("%d, %+v", status, a.Stats())
		}
		b.set(false)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if status := w.status(other, token); status != 401 || a.Stats().PurgesPending != 0 {
			t.Errorf("%d, %+v", status, a.Stats())
		}
		b.set(true)
		for n := range maxPurges + 10 {
			a.PurgeSession(fmt.Sprint(n))
		}
		b.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Contains(b.sent, everything) || len(b.sent) > 2*maxBatch {
			t.Errorf("%d sent", len(b.sent))
		}
		closeAll(a, other)
	})
}

// TestRevokeErrors checks that a session that cannot be revoked is still purged.
func TestRevokeErrors(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	w.ask(byToken(token))
	w.answer = func(r *http.Request) *http.Response {
		if r.Method == http.MethodDelete {
			return response(500, body500)
		}
		return nil
	}
	before := w.times("whoami")
	if err := w.v.RevokeSession(t.Context(), s.id); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Error(err)
	}
	w.ask(byToken(token))
	if err := w.v.Revoke(t.Context(), symbolon.IdentityID(s.identity)); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Error(err)
	}
	w.ask(byToken(token))
	if w.times("whoami") != before+2 {
		t.Error("not purged")
	}
	w.set(func() { w.answer = nil })
	if err := w.v.RevokeSession(t.Context(), "5e550000-0000-4000-8000-00000000dead"); !errors.Is(err, symbolon.ErrNotFound) {
		t.Error(err)
	}
	if err := w.v.RevokeSession(t.Context(), "no UUID"); err == nil {
		t.Error("no UUID")
	}
	if err := newWorld(t).withoutAdmin().v.Revoke(t.Context(), symbolon.IdentityID(s.identity)); !errors.Is(err, symbolon.ErrNoAdmin) {
		t.Error(err)
	}
}
