package session

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

type account struct {
	Plan  string
	Limit int
}

// TestLoad checks that a row is read once for an answer, is found without an allocation,
// is refreshed with the answer and purged with it, and that two loaders do not affect
// each other.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var plan atomic.Value
		plan.Store("free")
		var reads atomic.Int64
		accounts := Load(w.v, func(_ context.Context, u symbolon.User) (account, error) {
			reads.Add(1)
			return account{plan.Load().(string), len(u.ID)}, nil
		})
		names := Load(w.v, func(_ context.Context, u symbolon.User) (*string, error) {
			name := "name of " + string(u.ID)
			return &name, nil
		})
		token, s := w.person(1)
		user := userOf(symbolon.IdentityID(s.identity))
		var got account
		h := w.v.Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			a, ok := accounts.From(r.Context())
			name, ok2 := names.From(r.Context())
			if !ok || !ok2 || *name != "name of "+string(user) || a.Limit != len(user) {
				t.Errorf("%+v %v, %v %v", a, ok, name, ok2)
			}
			got = a
			if n := testing.AllocsPerRun(100, func() { _, _ = accounts.From(r.Context()) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		}))
		for range 5 {
			through(h, byToken(token))
		}
		if got.Plan != "free" || reads.Load() != 1 {
			t.Errorf("%+v after %d reads", got, reads.Load())
		}
		plan.Store("gold")
		w.v.Purge(symbolon.IdentityID(s.identity))
		through(h, byToken(token))
		if got.Plan != "gold" || reads.Load() != 2 {
			t.Errorf("purged: %+v after %d reads", got, reads.Load())
		}
		plan.Store("lead")
		time.Sleep(9 * time.Second)
		through(h, byToken(token)) // refreshed after this request
		synctest.Wait()
		through(h, byToken(token))
		if got.Plan != "lead" {
			t.Errorf("refreshed: %+v", got)
		}
		if _, ok := accounts.From(t.Context()); ok {
			t.Error("a row without a user")
		}
		other := &Verifier{Linker: w.v.Linker, Log: w.v.Log}
		foreign := Load(other, func(context.Context, symbolon.User) (account, error) { return account{}, nil })
		p, err := w.v.Authenticate(byToken(token))
		if _, ok := foreign.From(symbolon.WithPrincipal(t.Context(), p)); ok || err != nil {
			t.Errorf("got a row of another verifier, %v", err)
		}
	})
}

// TestLoadFails checks that a person whose row cannot be read is not let in, and nothing
// is cached.
func TestLoadFails(t *testing.T) {
	for name, load := range map[string]func() error{
		"error":   func() error { return errors.New("down") },
		"denial":  func() error { return ErrUnauthenticated },
		"a panic": func() error { panic("canary") },
	} {
		w := newWorld(t)
		var fail atomic.Bool
		fail.Store(true)
		accounts := Load(w.v, func(context.Context, symbolon.User) (account, error) {
			if fail.Load() {
				return account{}, load()
			}
			return account{Plan: "free"}, nil
		})
		token, _ := w.person(1)
		status, said := w.ask(byToken(token))
		expect(t, status, said, 503, "unavailable")
		fail.Store(false)
		if p, err := w.v.Authenticate(byToken(token)); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if a, ok := accounts.From(symbolon.WithPrincipal(t.Context(), p)); !ok || a.Plan != "free" {
			t.Errorf("%s: %+v, %v", name, a, ok)
		}
	}
}

// TestLoadWith tests a handler without a session.
func TestLoadWith(t *testing.T) {
	v := &Verifier{}
	accounts := Load(v, func(context.Context, symbolon.User) (account, error) { return account{}, nil })
	names := Load(v, func(context.Context, symbolon.User) (string, error) { return "", nil })
	u := symbolon.User{ID: "42"}
	ctx := names.With(accounts.With(t.Context(), u, account{Plan: "gold"}), u, "Ann")
	a, ok := accounts.From(ctx)
	name, ok2 := names.From(ctx)
	if got, _ := symbolon.UserFrom(ctx); got != u || !ok || !ok2 || a.Plan != "gold" || name != "Ann" {
		t.Errorf("%v, %+v %v, %s %v", got, a, ok, name, ok2)
	}
	if _, ok := names.From(accounts.With(ctx, symbolon.User{ID: "7"}, account{})); ok {
		t.Error("got a row of another user")
	}
}
