package link

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

func (l *Linker) minterForTest() *mint.Minter { l.setup(); return l.minter }

func newTestLinker(ory *oryModel, store symbolon.Store) *Linker {
	return &Linker{Ory: ory, Store: store, Secrets: []symbolon.Secret{newKey}, Log: slog.New(slog.DiscardHandler)}
}

// TestBackReferenceOfANewIdentity checks that under WriteCreate a new identity without a
// value gets exactly one PATCH of this path, and that the ledger records it. By default
// Ory gets no PATCH.
func TestBackReferenceOfANewIdentity(t *testing.T) {
	tests := []struct {
		name     string
		metadata string
		age      time.Duration
		write    Write
		patched  bool
	}{
		{name: "new, without a value", write: WriteCreate, patched: true},
		{name: "null is no value", metadata: `{"id":null}`, write: WriteCreate, patched: true},
		{name: "another value", metadata: `{"id":"42"}`, write: WriteCreate},
		{name: "an object", metadata: `{"id":{}}`, write: WriteCreate},
		{name: "metadata that is not an object", metadata: `"x"`, write: WriteCreate},
		{name: "too old", age: time.Minute, write: WriteCreate},
		{name: "the default"},
		{name: "policy none", write: WriteNone},
		{name: "policy reserve", write: WriteReserve},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := symbolon.Identity{ID: alice, State: symbolon.Active, MetadataPublic: []byte(tt.metadata), CreatedAt: time.Now().Add(-tt.age)}
				ory := &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
				store := newMemory(symbolon.ByMint)
				l := newTestLinker(ory, store)
				l.BackReference.Write = tt.write
				link, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
				if err != nil {
					t.Fatal(err)
				}
				if err := l.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				want := ""
				if tt.patched {
					want = string(alice) + " id " + string(link.User)
				}
				if got := strings.Join(ory.patches, "; "); got != want {
					t.Errorf("Ory got %q, want %q", got, want)
				}
				if got := store.links[alice].BackReference; (got == string(link.User)) != tt.patched {
					t.Errorf("the ledger has %q", got)
				}
			})
		})
	}
}

// TestBackReferenceIsTriedAgain checks that after an outage of Ory the value is written
// if the identity's first minute is not over.
func TestBackReferenceIsTriedAgain(t *testing.T) {
	for _, outage := range []time.Duration{5 * time.Second, 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
			ory := &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
			l := newTestLinker(ory, newMemory(symbolon.ByMint))
			l.BackReference.Write = WriteCreate
			ory.down = true
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest, Admin: true}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(outage)
			ory.mu.Lock()
			ory.down = false
			ory.mu.Unlock()
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if sent := len(ory.patches) == 1; sent != (outage < createWindow) {
				t.Errorf("after an outage of %v Ory got %q", outage, ory.patches)
			}
		})
	}
}

// TestCloseEndsWithItsContext checks that an unwritten back-reference does not keep the
// program alive.
func TestCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
		ory := &oryModel{admin: true, down: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
		l := newTestLinker(ory, newMemory(symbolon.ByMint))
		l.BackReference.Write = WriteCreate
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest, Admin: true}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := l.Close(ctx); err == nil {
			t.Error("Close reports no unwritten back-reference")
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

func TestLinkRefusesAnInvalidID(t *testing.T) {
	store := newMemory(symbolon.ByMint)
	l := newTestLinker(&oryModel{}, store)
	for _, id := range []symbolon.IdentityID{"", "00000000-0000-0000-0000-000000000000", "abc", "{11111111-1111-4111-8111-111111111111}"} {
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromRequest}); err == nil {
			t.Errorf("%q was linked", id)
		}
	}
	if len(store.links)+len(store.rows) != 0 {
		t.Error("something was stored")
	}
}

// TestLinkWhileOryIsDown checks that an identity with a claim is read at Ory first. If
// Ory does not answer, no user is made.
func TestLinkWhileOryIsDown(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active, MetadataPublic: []byte(`{"id":"42"}`)}
	ory := &oryModel{admin: true, down: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
	store := newMemory(symbolon.ByMint)
	l := newTestLinker(ory, store)
	_, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if !errors.Is(err, symbolon.ErrUnavailable) || len(store.rows) != 0 {
		t.Fatalf("got %v with %d users", err, len(store.rows))
	}
	ory.down = false
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
		t.Fatal(err)
	}
}

func TestAfterLinkOnceForEachBond(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active}
	l := newTestLinker(&oryModel{identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}, newMemory(symbolon.ByMint))
	var calls []symbolon.Link
	l.AfterLink = func(_ context.Context, link symbolon.Link) { calls = append(calls, link) }
	for range 3 {
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
			t.Fatal(err)
		}
	}
	if len(calls) != 1 || calls[0].Identity != alice || calls[0].User == "" {
		t.Errorf("AfterLink was called with %+v", calls)
	}
}
