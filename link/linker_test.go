package link

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
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

// TestBackReferenceOfANewIdentity: one PATCH, of the one path, for a young
// identity that holds nothing there; and the ledger remembers it.
func TestBackReferenceOfANewIdentity(t *testing.T) {
	tests := []struct {
		name     string
		metadata string
		age      time.Duration
		write    Write
		patched  bool
	}{
		{name: "young and empty", patched: true},
		{name: "null is nothing", metadata: `{"id":null}`, patched: true},
		{name: "somebody's value", metadata: `{"id":"42"}`},
		{name: "somebody's object", metadata: `{"id":{}}`},
		{name: "no object", metadata: `"x"`},
		{name: "too old", age: time.Minute},
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
					t.Errorf("Ory was sent %q, want %q", got, want)
				}
				if got := store.links[alice].BackReference; (got == string(link.User)) != tt.patched {
					t.Errorf("the ledger remembers %q", got)
				}
			})
		})
	}
}

// TestBackReferenceIsTriedAgain: Ory is down for a while; within the minute the
// value gets there, after it nothing is sent any more.
func TestBackReferenceIsTriedAgain(t *testing.T) {
	for _, outage := range []time.Duration{5 * time.Second, 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
			ory := &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
			l := newTestLinker(ory, newMemory(symbolon.ByMint))
			ory.down = true
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
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
				t.Errorf("after an outage of %v Ory was sent %q", outage, ory.patches)
			}
		})
	}
}

// TestCloseGivesUpInTime: what cannot be written does not keep a program alive.
func TestCloseGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
		ory := &oryModel{admin: true, down: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
		l := newTestLinker(ory, newMemory(symbolon.ByMint))
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := l.Close(ctx); err == nil {
			t.Error("Close says that everything was written")
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

// TestHintsShareReadings: of many hints at once, the first starts a reading and all
// the others share the next; none gets one that began before it came.
func TestHintsShareReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c coalescer
		var reads atomic.Int32
		read := func(context.Context) (symbolon.Link, error) {
			time.Sleep(time.Second)
			return symbolon.Link{Ticket: symbolon.Ticket(reads.Add(1))}, nil
		}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				link, err := c.do(t.Context(), alice, read)
				want := symbolon.Ticket(2)
				if i == 0 {
					want = 1
				}
				if err != nil || link.Ticket != want {
					t.Errorf("hint %d got reading %d, %v", i, link.Ticket, err)
				}
			})
		}
		wg.Wait()
		if n := reads.Load(); n != 2 {
			t.Errorf("%d readings for 16 hints", n)
		}
		if len(c.byID) != 0 {
			t.Errorf("%d identities stay behind", len(c.byID))
		}
	})
}

// TestAHintThatGivesUpLeavesTheOthers: a cancelled caller does not end the reading.
func TestAHintThatGivesUpLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c coalescer
		read := func(ctx context.Context) (symbolon.Link, error) {
			time.Sleep(time.Second)
			return symbolon.Link{User: "a"}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = c.do(ctx, alice, read) }()
		synctest.Wait()
		cancel()
		if link, err := c.do(t.Context(), alice, read); err != nil || link.User != "a" {
			t.Errorf("got %+v, %v", link, err)
		}
	})
}

func TestLinkRefusesWhatIsNoIdentity(t *testing.T) {
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

// TestAdminThatDoesNotAnswer: a claim leads to one question; without an answer
// nothing is made.
func TestAdminThatDoesNotAnswer(t *testing.T) {
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
		t.Errorf("AfterLink was told %+v", calls)
	}
}

// TestStanding: only a bond that stands is returned; nothing is made, nothing is
// written, and Ory is not asked.
func TestStanding(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active}
	for _, admin := range []bool{true, false} {
		ory := &oryModel{admin: admin, down: true}
		store := newMemory(symbolon.ByMint)
		l := newTestLinker(ory, store)
		l.BackReference.Write = WriteNone
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		store.rows["handmade"] = alice // a row of a hook written by hand: Link makes that the bond
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("a row alone: %v", err)
		}
		if len(store.links)+len(store.events) != 0 {
			t.Errorf("something was written: %v %v", store.links, store.events)
		}
		made, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Lookup(t.Context(), alice); err != nil || got != made || got.User != "handmade" {
			t.Errorf("%+v, %v, want %+v", got, err, made)
		}
		delete(store.rows, "handmade")
		before := len(store.events)
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrUserGone) || len(store.events) != before || len(store.open[alice]) != 0 {
			t.Errorf("the row is gone: %v, %v", err, store.open)
		}
		store.down = true
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("the store is down: %v", err)
		}
		if _, err := l.Lookup(t.Context(), "00000000-0000-0000-0000-000000000000"); err == nil || errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("no identity: %v", err)
		}
	}
}
