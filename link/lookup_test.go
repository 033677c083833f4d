package link

import (
	"errors"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestLookup checks that only a link in the ledger is returned. No user is made, nothing
// is written, and Ory is not asked.
func TestLookup(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active}
	for _, admin := range []bool{true, false} {
		ory := &oryModel{admin: admin, down: true}
		store := newMemory(symbolon.ByMint)
		l := newTestLinker(ory, store)
		l.BackReference.Write = WriteNone
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("no link: %v", err)
		}
		store.rows["handmade"] = alice // a row that the application wrote; only Link links it
		if _, err := l.Lookup(t.Context(), alice); !errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("a row alone: %v", err)
		}
		if len(store.links)+len(store.events) != 0 {
			t.Errorf("Lookup wrote: %v %v", store.links, store.events)
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
