package link

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// crowded is a store in which a row of another identity holds each value that is to be
// written, as long as the caller can ask.
type crowded struct {
	*memory
	next   func(q symbolon.Query) []symbolon.IdentityID // the holders to ask for
	writes []symbolon.Query
}

func (s *crowded) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	s.writes = append(s.writes, q)
	if holders := s.next(q); q.AskHolders && len(holders) > 0 {
		return symbolon.Outcome{}, &symbolon.TakenError{Identity: q.Reading.Identity.ID, Holders: holders}
	}
	return s.memory.Write(ctx, q, decide)
}

// silentOry answers for nobody before its caller gives up.
type silentOry struct{ *oryModel }

func (o silentOry) Identity(ctx context.Context, _ symbolon.IdentityID) (symbolon.Identity, error) {
	<-ctx.Done()
	return symbolon.Identity{}, symbolon.ErrUnavailable
}

// TestAskingForHolders checks which holders are asked for, how often, and for how long. The
// user is linked in every case, and the last write asks for nobody.
func TestAskingForHolders(t *testing.T) {
	always := func(id symbolon.IdentityID) func(symbolon.Query) []symbolon.IdentityID {
		return func(symbolon.Query) []symbolon.IdentityID { return []symbolon.IdentityID{id} }
	}
	endless := func(q symbolon.Query) []symbolon.IdentityID {
		return []symbolon.IdentityID{personID(len(q.Others) + 1)}
	}
	once := func(q symbolon.Query) []symbolon.IdentityID {
		if len(q.Others) > 0 {
			return nil
		}
		return []symbolon.IdentityID{bob}
	}
	people := map[symbolon.IdentityID]symbolon.Identity{bob: {ID: bob, State: symbolon.Inactive}}
	for n := range 40 {
		people[personID(n)] = symbolon.Identity{ID: personID(n)}
	}
	tests := []struct {
		name     string
		next     func(symbolon.Query) []symbolon.IdentityID
		ory      symbolon.Ory
		patience time.Duration // of background work; 0: a person waits
		readings int
		writes   int
		lasts    time.Duration
	}{
		{"one holder", once, &oryModel{admin: true, identities: people}, 0, 1, 2, 0},
		{"a store that is never content", always(bob), &oryModel{admin: true, identities: people}, 0, 2, 4, 0},
		{"an endless chain", endless, &oryModel{admin: true, identities: people}, 0, 16, 18, 0},
		{"Ory has no such identity", always(alice), &oryModel{admin: true, identities: people}, 0, 0, 2, 0},
		{"Ory is down", always(bob), &oryModel{admin: true, down: true}, 0, 0, 2, 0},
		{"Ory is silent", always(bob), silentOry{&oryModel{admin: true}}, 0, 0, 2, 5 * time.Second},
		{"Ory is silent, in the background", always(bob), silentOry{&oryModel{admin: true}}, time.Minute, 0, 2, 65 * time.Second},
		{"no admin URL", always(bob), &oryModel{}, 0, 0, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &crowded{memory: newMemory(symbolon.ByMint), next: tt.next}
				l := newTestLinker(nil, store)
				l.Ory = tt.ory
				var heard []symbolon.IdentityID
				defer l.Watch(func(id symbolon.IdentityID) { heard = append(heard, id) })()
				ctx := t.Context()
				if tt.patience > 0 {
					ctx = symbolon.Background(ctx, tt.patience)
				}
				began := time.Now()
				id := personID(100)
				if _, err := l.Link(ctx, symbolon.Reading{Identity: symbolon.Identity{ID: id}, Ticket: 1, Source: symbolon.FromSyncHook, Admin: true}); err != nil {
					t.Fatal(err)
				}
				last := store.writes[len(store.writes)-1]
				if len(store.writes) != tt.writes || len(last.Others) != tt.readings || time.Since(began) != tt.lasts {
					t.Errorf("%d writes, %d readings, %v; want %d, %d, %v", len(store.writes), len(last.Others), time.Since(began), tt.writes, tt.readings, tt.lasts)
				}
				for _, r := range last.Others {
					if r.Ticket == 0 || !r.Admin || r.Source != symbolon.FromSyncHook {
						t.Errorf("a reading of a holder: %+v", r)
					}
				}
				if tt.readings > 0 && tt.name != "an endless chain" && !slices.Contains(heard, bob) {
					t.Error("nobody heard that a holder is banned at Ory")
				}
				if err := l.Close(context.WithoutCancel(ctx)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
