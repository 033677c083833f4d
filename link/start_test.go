package link

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// TestUnsettledStartIsRead checks that many requests of people who wait read the start only
// every two seconds, that an order of another process is noticed then, and that a settled
// start is never read again.
func TestUnsettledStartIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now().Add(-time.Hour)}
		store := newMemory(symbolon.ByMint)
		store.start = symbolon.Start{CreatedAt: time.Now()}
		l := newTestLinker(&oryModel{}, store)
		link := func() error {
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
			return err
		}
		for range 100 {
			if err := link(); !errors.Is(err, symbolon.ErrOnHold) || len(store.rows)+len(store.links) != 0 {
				t.Fatal(err, store.links)
			}
		}
		if store.starts != 1 {
			t.Errorf("100 requests read the start %d times", store.starts)
		}
		if _, err := store.Settle(t.Context(), "default", "adopt"); err != nil {
			t.Fatal(err)
		}
		if err := link(); !errors.Is(err, symbolon.ErrOnHold) {
			t.Error(err)
		}
		time.Sleep(startLife + time.Millisecond)
		if err := link(); err != nil || store.starts != 2 {
			t.Error(err, store.starts)
		}
		id.ID = bob
		time.Sleep(time.Hour)
		if err := link(); err != nil || store.starts != 2 {
			t.Error(err, store.starts)
		}
		store.down = true
		fresh := newTestLinker(&oryModel{}, store)
		if _, err := fresh.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("the store is down: %v", err)
		}
	})
}

// limitedOry refuses the first readings because of its rate limit.
type limitedOry struct {
	*oryModel
	refuse int
}

func (o *limitedOry) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.mu.Lock()
	o.refuse--
	refused := o.refuse >= 0
	o.mu.Unlock()
	if refused {
		return symbolon.Identity{}, errors.Join(symbolon.ErrRateLimited, symbolon.ErrUnavailable)
	}
	return o.oryModel.Identity(ctx, id)
}

// TestFirstReadingIsQueued checks that a person whose first reading Ory's rate limit refuses
// gets no user from whoami alone, and has the voucher's user soon, without another request.
func TestFirstReadingIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(symbolon.ByMint)
		store.rows["guest"] = ""
		ory := &limitedOry{&oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{}}, 3}
		l := newTestLinker(ory.oryModel, store)
		l.Ory = ory
		voucher, err := l.Voucher("guest")
		if err != nil {
			t.Fatal(err)
		}
		shown := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
		whole := shown
		whole.MetadataAdmin = []byte(`{"symbolon":{"user":"guest","proof":"` + voucher.Proof + `"}}`)
		ory.identities[alice] = whole
		for range 2 {
			_, err = l.Link(t.Context(), symbolon.Reading{Identity: shown, Source: symbolon.FromRequest})
			if !errors.Is(err, symbolon.ErrRateLimited) || !errors.Is(err, symbolon.ErrUnavailable) || store.users() != 1 {
				t.Fatalf("%v, %d users", err, store.users())
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := store.links[alice]; got.User != "guest" || store.users() != 1 {
			t.Errorf("%+v, %d users", got, store.users())
		}
	})
}

// TestBindNew checks whom the operator can give a new user.
func TestBindNew(t *testing.T) {
	for name, test := range map[string]struct {
		link  *symbolon.Link
		rows  map[symbolon.UserID]symbolon.IdentityID
		newID symbolon.NewID
		want  error // nil: a new user
	}{
		"nobody":                     {},
		"on hold":                    {link: &symbolon.Link{State: symbolon.OnHold, Reason: symbolon.AdoptAmbiguous}},
		"moved":                      {link: &symbolon.Link{State: symbolon.OnHold, Reason: symbolon.Moved}},
		"its row is missing":         {link: &symbolon.Link{State: symbolon.Linked, User: "old"}},
		"deleted by the application": {link: &symbolon.Link{State: symbolon.Forgotten, User: "old"}},
		"the ID would be the same":   {link: &symbolon.Link{State: symbolon.Linked, User: symbolon.UserID(alice)}, newID: symbolon.ByIdentity, want: symbolon.ErrConflict},
		"it has a user":              {link: &symbolon.Link{State: symbolon.Linked, User: "old"}, rows: map[symbolon.UserID]symbolon.IdentityID{"old": alice}, want: symbolon.ErrConflict},
		"a row names it":             {rows: map[symbolon.UserID]symbolon.IdentityID{"old": alice}, want: symbolon.ErrConflict},
		"its row names nobody":       {link: &symbolon.Link{State: symbolon.Linked, User: "old"}, rows: map[symbolon.UserID]symbolon.IdentityID{"old": ""}, want: symbolon.ErrConflict},
		"erased":                     {link: &symbolon.Link{State: symbolon.Erased, User: "old"}, want: symbolon.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemory(symbolon.ByMint)
			if test.newID != "" {
				store.newID = test.newID
			}
			if test.link != nil {
				test.link.Identity = alice
				store.links[alice] = *test.link
			}
			for user, id := range test.rows {
				store.rows[user] = id
			}
			before := len(store.rows)
			l := newTestLinker(&oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: {ID: alice, State: symbolon.Active}}}, store)
			for n := range 2 {
				link, err := l.BindNew(t.Context(), alice, "ticket 1")
				want := test.want
				if n > 0 {
					want = symbolon.ErrConflict // it has a user now
				}
				if !errors.Is(err, want) || want == nil && (link.User == "" || link.User == "old" || link.State != symbolon.Linked) {
					t.Errorf("call %d: %+v, %v", n, link, err)
				}
			}
			if made := len(store.rows) - before; made != map[bool]int{true: 1}[test.want == nil] {
				t.Errorf("%d rows were made", made)
			}
		})
	}
}
