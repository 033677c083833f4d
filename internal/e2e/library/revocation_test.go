package library

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// crowd is many signed-in people at two replicas. The replicas' wall clocks move by an
// hour in both directions while sessions end (INVARIANTS I6).
type crowd struct {
	t        *testing.T
	kratos   *symbolontest.Kratos
	admin    *ory.Client
	replicas []*replica
	people   []*symbolontest.Person
	diaries  []*diary
	ended    []ending
	clock    chaos.Clock // the replicas' wall clock
}

// ending is how and between which two moments a session ended.
type ending struct {
	began, at time.Time
	how       string
	own       bool // by Symbolon
}

// crowdStale is max_stale. At full size it is the default, because a thousand sessions
// must not overload Kratos and a busy machine's Kratos answers slowly.
func crowdStale() time.Duration { return time.Duration(e2e.Torture(3, 10)) * time.Second }

// aSecond is the limit for a purge at the other replica. Only an idle machine keeps it to
// a second; packages session and sqlstore test this second with clocks of their own.
func aSecond() time.Duration { return time.Duration(e2e.Torture(30, 1)) * time.Second }

func newCrowd(t *testing.T, dialect sqlstore.Dialect, n int, stale time.Duration) *crowd {
	c := &crowd{t: t, kratos: symbolontest.StartKratos(t, symbolontest.KratosConfig{}), people: make([]*symbolontest.Person, n), ended: make([]ending, n)}
	c.admin = &ory.Client{PublicURL: c.kratos.PublicURL, AdminURL: c.kratos.AdminURL, Timeout: patience, Load: 1}
	t.Cleanup(c.admin.CloseIdleConnections)
	db := openDatabase(t, dialect, setup{})
	for range 2 {
		c.replicas = append(c.replicas, newReplica(t, c.kratos, db, func(v *session.Verifier) {
			v.MaxStale = stale
			v.Now = c.clock.Now
		}))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				p, err := c.kratos.Register(t.Context(), mail("crowd%d", i), password, "P")
				if err != nil {
					t.Error(err)
					return
				}
				c.people[i] = p
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for range n {
		c.diaries = append(c.diaries, &diary{})
	}
	return c
}

// load sends requests for random sessions until it is stopped, and moves the clocks.
func (c *crowd) load() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		rnd := rand.New(rand.NewPCG(uint64(w), 6))
		wg.Go(func() {
			for ctx.Err() == nil {
				n := rnd.IntN(len(c.people))
				c.diaries[n].ask(c.replicas[rnd.IntN(2)], c.people[n].Token)
				time.Sleep(4 * time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			c.clock.Set([]time.Duration{0, time.Hour, -time.Hour}[rand.IntN(3)])
			time.Sleep(100 * time.Millisecond)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// end ends a session in one of all possible ways.
func (c *crowd) end(n int) {
	p, ctx := c.people[n], c.t.Context()
	id := symbolon.IdentityID(p.IdentityID)
	ways := []struct {
		how string
		own bool
		do  func() error
	}{
		{"logged out", false, func() error { return c.kratos.Logout(ctx, p.Token) }},
		{"revoked at Ory", false, func() error { return c.admin.RevokeSession(ctx, p.SessionID) }},
		{"deactivated", false, func() error { return c.deactivate(p) }},
		{"deleted", false, func() error { return c.kratos.DeleteIdentity(ctx, p.IdentityID) }},
		{"revoked here", true, func() error { return c.replicas[n%2].RevokeSession(ctx, p.SessionID) }},
		{"all revoked here", true, func() error { return c.replicas[n%2].Revoke(ctx, id) }},
	}
	way, began := ways[n%len(ways)], time.Now()
	if err := way.do(); err != nil {
		c.t.Errorf("person %d, %s: %v", n, way.how, err)
	}
	c.ended[n] = ending{began, time.Now(), way.how, way.own}
}

// TestRevocation ends sessions at random moments under load, in every way. The last
// request that is let in comes at most MaxStale after the end, and at most a second if
// the change came through Symbolon. At the end Ory stops.
func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, dialect := range e2e.Both {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			seconds, n := time.Duration(e2e.Torture(3, 40)), e2e.Torture(60, 1000)
			c := newCrowd(t, dialect, n, crowdStale())
			stop := c.load()
			c.loaded()
			time.Sleep(seconds * time.Second / 3)
			var wg sync.WaitGroup
			for w := range 6 {
				wg.Go(func() {
					for i := w; i < n; i += 6 {
						time.Sleep(rand.N(2 * seconds * 6 * time.Second / time.Duration(n)))
						c.end(i)
					}
				})
			}
			wg.Wait()
			c.kratos.Stop() // right after the last ending
			time.Sleep(crowdStale() + 500*time.Millisecond)
			stop()
			c.judge()
		})
	}
}

// loaded waits until every person was let in several times.
func (c *crowd) loaded() {
	c.t.Helper()
	for n, d := range c.diaries {
		for deadline := time.Now().Add(time.Minute); d.count(200, time.Time{}, deadline) < 3; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				c.t.Fatalf("person %d is not let in: %d times 401, %d times 503", n, d.count(401, time.Time{}, deadline), d.count(503, time.Time{}, deadline))
			}
		}
	}
}

func (c *crowd) judge() {
	worst := map[string]time.Duration{}
	answers := map[int]int{}
	for n, d := range c.diaries {
		e := c.ended[n]
		bound := crowdStale()
		if e.own {
			bound = min(bound, aSecond())
		}
		late := max(d.last(200).Sub(e.at), 0)
		if worst[e.how] = max(worst[e.how], late); late > bound {
			c.t.Errorf("person %d, %s: let in %s after the end", n, e.how, late)
		}
		for _, s := range d.said {
			answers[s.status]++
			if s.status == 401 && s.left.Before(e.began) {
				c.t.Errorf("person %d was refused before the end (%s)", n, e.how)
			}
		}
	}
	c.t.Logf("%v; let in after the end, at most: %s", answers, fmt.Sprint(worst))
}

// TestRevokedHereIsRefusedThere has answers that are valid for an hour, so only the
// broadcast can end a session at the other replica.
func TestRevokedHereIsRefusedThere(t *testing.T) {
	t.Parallel()
	for _, dialect := range e2e.Both {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, dialect, e2e.Torture(20, 200), time.Hour)
			for _, p := range c.people {
				for _, r := range c.replicas {
					if status := r.status(p.Token); status != 200 {
						t.Fatal(status)
					}
				}
			}
			var worst atomic.Int64
			var wg sync.WaitGroup
			for n, p := range c.people {
				wg.Go(func() {
					time.Sleep(rand.N(time.Second))
					here, there := c.replicas[n%2], c.replicas[1-n%2]
					var err error
					if n%4 < 2 {
						err = here.RevokeSession(t.Context(), p.SessionID)
					} else {
						err = here.Revoke(t.Context(), symbolon.IdentityID(p.IdentityID))
					}
					if err != nil {
						t.Error(err)
						return
					}
					began := time.Now()
					if status := here.status(p.Token); status == 200 {
						t.Error("the replica that revoked the session lets it in")
					}
					var late time.Duration // from the revocation to the last request that was let in
					for came := time.Now(); there.status(p.Token) == 200 && late <= aSecond(); came = time.Now() {
						late = came.Sub(began)
						time.Sleep(5 * time.Millisecond)
					}
					if late > aSecond() {
						t.Errorf("the other replica let it in %s later", late)
					}
					for was := worst.Load(); int64(late) > was && !worst.CompareAndSwap(was, int64(late)); was = worst.Load() {
					}
				})
			}
			wg.Wait()
			t.Logf("the other replica let it in at most %s later", time.Duration(worst.Load()))
		})
	}
}
