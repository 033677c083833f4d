package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// slowOry takes a second for each reading and stores the contexts of its calls.
type slowOry struct {
	*oryModel
	contexts []context.Context
}

func (o *slowOry) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.mu.Lock()
	o.contexts = append(o.contexts, ctx)
	o.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return o.oryModel.Identity(ctx, id)
	case <-ctx.Done():
		return symbolon.Identity{}, errors.Join(ctx.Err(), symbolon.ErrUnavailable)
	}
}

func newSlowLinker() (*Linker, *slowOry) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active}
	ory := &slowOry{oryModel: &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}}
	l := newTestLinker(ory.oryModel, newMemory(symbolon.ByMint))
	l.Ory, l.BackReference.Write = ory, WriteNone
	return l, ory
}

// TestRefreshSharesReadings checks that the first of 16 calls starts a reading. The
// others share the next reading, because the first one began before they came.
func TestRefreshSharesReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ory := newSlowLinker()
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				link, err := l.Refresh(t.Context(), alice, symbolon.FromSyncHook)
				want := 2 * time.Second
				if i == 0 {
					want = time.Second
				}
				if took := time.Since(began); err != nil || link.User == "" || took != want {
					t.Errorf("call %d: %+v, %v after %s, want %s", i, link, err, took, want)
				}
			})
		}
		wg.Wait()
		if n := len(ory.contexts); n != 2 {
			t.Errorf("%d readings for 16 calls", n)
		}
	})
}

// TestRefreshSurvivesACallerThatGivesUp checks that a caller whose context ends does not
// cancel the reading of the others.
func TestRefreshSurvivesACallerThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ory := newSlowLinker()
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := l.Refresh(ctx, alice, symbolon.FromSyncHook)
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) || !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("the caller that gave up got %v", err)
		}
		if link, err := l.Refresh(t.Context(), alice, symbolon.FromSyncHook); err != nil || link.User == "" {
			t.Errorf("the other caller got %+v, %v", link, err)
		}
		if ory.contexts[0].Err() != context.Canceled { // the reading's own context ends with the reading
			t.Error(ory.contexts[0].Err())
		}
	})
}

// TestRefreshInTheBackground checks that the caller's patience reaches Ory, that the
// reading has its own deadline, and that no request waits for a reading of the
// background.
func TestRefreshInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ory := newSlowLinker()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = l.Refresh(symbolon.Background(t.Context(), time.Minute), alice, symbolon.FromSyncHook)
		})
		synctest.Wait()
		began := time.Now()
		if _, err := l.Refresh(t.Context(), alice, symbolon.FromSyncHook); err != nil || time.Since(began) != time.Second {
			t.Errorf("a person waited %s, %v", time.Since(began), err)
		}
		wg.Wait()
		if p, ok := symbolon.PatienceFrom(ory.contexts[0]); !ok || p.For != time.Minute {
			t.Errorf("the background's patience at Ory is %v, %v", p, ok)
		}
		if _, ok := symbolon.PatienceFrom(ory.contexts[1]); ok {
			t.Error("a request's reading waits like one of the background")
		}
		for i, ctx := range ory.contexts {
			if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(began) > refreshTimeout {
				t.Errorf("reading %d has the deadline %v, %v", i, deadline, ok)
			}
		}
	})
}

// TestCloseWaitsForRefreshes checks that Close waits for the last reading, or cancels the
// readings when its own context ends.
func TestCloseWaitsForRefreshes(t *testing.T) {
	for _, tt := range []struct {
		name            string
		timeout, closes time.Duration
	}{
		{"in time", time.Minute, time.Second},
		{"too late", 100 * time.Millisecond, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := newSlowLinker()
				var wg sync.WaitGroup
				var failed error
				wg.Go(func() { _, failed = l.Refresh(t.Context(), alice, symbolon.FromSyncHook) })
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				began := time.Now()
				err := l.Close(ctx)
				wg.Wait()
				if cut := tt.timeout < time.Second; (err != nil) != cut || (failed != nil) != cut || time.Since(began) != tt.closes {
					t.Errorf("Close: %v after %s; Refresh: %v", err, time.Since(began), failed)
				}
				if _, err := l.Refresh(t.Context(), alice, symbolon.FromSyncHook); !errors.Is(err, symbolon.ErrUnavailable) {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}
