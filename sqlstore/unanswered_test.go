package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestStoreWithoutAnswers runs the suite of the store with commits that get no answer.
// Either all answers are lost, or each kind of loss comes in turn.
func TestStoreWithoutAnswers(t *testing.T) {
	inTurn := func(n int) loss { return []loss{answerLost, none, neverSent, none, sentLate, none, none}[n%7] }
	for _, tt := range []struct {
		variant string
		dialect sqlstore.Dialect
		fault   func(int) loss
		all     bool // only with `make torture`
	}{
		{"default", sqlstore.Postgres, always(answerLost), false},
		{"default", sqlstore.SQLite, inTurn, false},
		{"bigserial", sqlstore.SQLite, always(answerLost), false},
		{"bigserial", sqlstore.Postgres, inTurn, true},
		{"by application", sqlstore.Postgres, inTurn, true},
		{"by application", sqlstore.SQLite, always(answerLost), true},
		{"uuid default", sqlstore.Postgres, always(answerLost), true},
		{"one column", sqlstore.Postgres, inTurn, true},
	} {
		if tt.all && size(0, 1) == 0 {
			continue
		}
		t.Run(tt.variant+"/"+string(tt.dialect), func(t *testing.T) {
			t.Parallel()
			for _, v := range variants {
				if v.name != tt.variant {
					continue
				}
				db := openVariant(t, v, tt.dialect)
				bad, lossy := db.lossy(t)
				other, more := db.lossyAgain(t)
				lossy.during(tt.fault)
				more.during(tt.fault)
				symbolontest.TestStore(t, func(t *testing.T) symbolontest.StoreFixture {
					f := db.fixture(t)
					f.Store.(*sqlstore.Store).DB, f.Stop = bad, nil
					f.Again = func() symbolon.Store { return db.store(other) }
					return f
				})
				if n := lossy.commits(); n < 100 {
					t.Errorf("only %d commits", n)
				}
			}
		})
	}
}

// unanswered is a linker whose commits get lost. It records the notifications.
type unanswered struct {
	*link.Linker
	lossy *lossy

	mu    sync.Mutex
	after []symbolon.Link       // AfterLink
	told  []symbolon.IdentityID // by Watch
}

func (p *people) unanswered(t *testing.T) *unanswered {
	if _, err := p.store(p.DB).Start(t.Context(), symbolon.DefaultProject); err != nil { // so that a link is one commit
		t.Fatal(err)
	}
	bad, lossy := p.lossy(t)
	u := &unanswered{Linker: linkerOf(p.store(bad)), lossy: lossy}
	u.AfterLink = func(_ context.Context, l symbolon.Link) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.after = append(u.after, l)
	}
	t.Cleanup(u.Watch(func(id symbolon.IdentityID) { u.told = append(u.told, id) }))
	return u
}

func defaultPeople(db database) *people {
	return &people{database: db, variant: variant{name: "default"}}
}

// TestLinkWithoutAnswer checks that a link whose commit gets no answer exists once, and
// that AfterLink is called for it once.
func TestLinkWithoutAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := defaultPeople(db)
		u := p.unanswered(t)
		for name, losses := range map[string][]loss{"its answer is lost": {answerLost}, "it is never sent": {neverSent}, "it is sent late": {sentLate},
			"many of them": {answerLost, neverSent, sentLate, neverSent, answerLost}} {
			for _, together := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, together: %t", name, together), func(t *testing.T) {
					u.lossy.during(first(losses...))
					u.after = nil
					seen := []symbolon.Reading{{Identity: identityWith(`{}`), Source: symbolon.FromLinkHook}}
					if together {
						seen = append(seen, symbolon.Reading{Identity: identityWith(`{}`), Source: symbolon.FromLinkHook})
					}
					var made []symbolon.Link
					for _, r := range u.LinkAll(t.Context(), seen) {
						if r.Err != nil {
							t.Fatal(r.Err)
						}
						made = append(made, r.Link)
					}
					if len(u.after) != len(made) {
						t.Errorf("after link: %v of %v", u.after, made)
					}
					for _, makeLink := range made {
						if !slices.Contains(u.after, makeLink) {
							t.Errorf("after link: %v, but not %v", u.after, makeLink)
						}
						if got := p.count(t, p.sql(`select count(*) from {users} where cast({id} as text) = $1 and cast({identity} as text) = $2`), makeLink.User, makeLink.Identity); got != 1 {
							t.Errorf("%d rows of %s", got, makeLink.Identity)
						}
						if r, err := u.Record(t.Context(), string(makeLink.Identity)); err != nil || len(r.Events) != 1 {
							t.Errorf("%v, %v", r.Events, err)
						}
					}
				})
			}
		}
		if n, links := p.count(t, p.sql(`select count(*) from {users}`)), 4*3; n != links {
			t.Errorf("%d users of %d", n, links)
		}
	})
}

// TestCallerGivesUpAtTheCommit checks that a caller that gives up during the commit does
// not cancel it, and gets its result.
func TestCallerGivesUpAtTheCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		u := defaultPeople(db).unanswered(t)
		u.lossy.during(always(slow))
		ctx, cancel := context.WithCancel(t.Context())
		committing := time.AfterFunc(0, func() {
			for u.lossy.commits() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		})
		defer committing.Stop()
		makeLink, err := u.Link(ctx, symbolon.Reading{Identity: identityWith(`{}`)})
		if err != nil || ctx.Err() == nil || u.lossy.commits() != 1 || len(u.after) != 1 || u.after[0] != makeLink {
			t.Errorf("%+v, %v after %d commits; notified of %v", makeLink, err, u.lossy.commits(), u.after)
		}
		if _, err := u.Link(ctx, symbolon.Reading{Identity: identityWith(`{}`)}); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("a caller that gave up before the commit: %v", err)
		}
	})
}

// TestCommitHangs checks that a commit without an answer does not block its caller for
// ever, whether or not the caller has a deadline.
func TestCommitHangs(t *testing.T) {
	t.Parallel()
	for _, deadline := range []time.Duration{300 * time.Millisecond, 5 * time.Minute} {
		t.Run(deadline.String(), func(t *testing.T) {
			t.Parallel()
			u := defaultPeople(open(t, sqlstore.Postgres)).unanswered(t)
			id := identityWith(`{}`)
			u.lossy.during(first(hung))
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			began := time.Now()
			if _, err := u.Link(ctx, symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUnavailable) || time.Since(began) > 2*time.Minute {
				t.Errorf("the call hangs: %v after %v", err, time.Since(began))
			}
			makeLink, err := u.Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil || u.lossy.commits() != 1 {
				t.Errorf("once more: %+v, %v after %d commits", makeLink, err, u.lossy.commits())
			}
		})
	}
}

// TestChangeWithoutAnswer has a database that fails before the result of a change is
// known. Caches drop the identities of the change, and the same call succeeds after the
// outage.
func TestChangeWithoutAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := defaultPeople(db)
		u := p.unanswered(t)
		makeLink := func() (symbolon.Identity, symbolon.UserID) {
			id := identityWith(`{}`)
			l, err := u.Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			return id, l.User
		}
		for name, change := range map[string]func() (call func() error, about []symbolon.IdentityID){
			"a user moves": func() (func() error, []symbolon.IdentityID) {
				loser, user := makeLink()
				winner, _ := makeLink()
				return func() error {
					got, err := u.Bind(t.Context(), winner.ID, user, symbolon.BindOptions{Move: true})
					if err == nil && got.User != user {
						t.Errorf("%+v", got)
					}
					return err
				}, []symbolon.IdentityID{winner.ID, loser.ID}
			},
			"a person is erased": func() (func() error, []symbolon.IdentityID) {
				id, _ := makeLink()
				return func() error {
					_, err := u.Erase(t.Context(), id.ID, symbolon.AnonymiseRow, "")
					return err
				}, []symbolon.IdentityID{id.ID}
			},
			"a user's row is gone": func() (func() error, []symbolon.IdentityID) {
				id, user := makeLink()
				p.must(t, p.sql(`delete from {users} where cast({id} as text) = $1`), string(user))
				return func() error {
					_, err := u.Link(t.Context(), symbolon.Reading{Identity: id})
					if errors.Is(err, symbolon.ErrUserGone) {
						return nil
					}
					return err
				}, []symbolon.IdentityID{id.ID}
			},
			"Ory has deactivated the identity": func() (func() error, []symbolon.IdentityID) {
				id, _ := makeLink()
				ticket, err := p.store(p.DB).Ticket(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				id.State = symbolon.Inactive
				return func() error {
					_, err := u.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: ticket, Admin: true})
					return err
				}, []symbolon.IdentityID{id.ID}
			},
		} {
			t.Run(name, func(t *testing.T) {
				u.lossy.during(nil)
				call, about := change()
				u.told = nil
				u.lossy.during(first(outage))
				if err := call(); !errors.Is(err, symbolon.ErrUnavailable) {
					t.Errorf("unanswered: %v", err)
				}
				for _, id := range about {
					if !slices.Contains(u.told, id) {
						t.Errorf("notified of %v only, not of %s", u.told, id)
					}
				}
				u.lossy.during(nil)
				again := func() error { // each broken connection fails once
					err := call()
					for range 20 {
						if !errors.Is(err, symbolon.ErrUnavailable) {
							break
						}
						err = call()
					}
					return err
				}
				if err := again(); err != nil {
					t.Errorf("asked again: %v", err)
				}
			})
		}
	})
}
