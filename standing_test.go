package symbolon

import (
	"errors"
	"testing"
)

// TestStanding: only a bond that stands is returned; nothing is made, nothing is
// written, and Ory is not asked.
func TestStanding(t *testing.T) {
	id := Identity{ID: alice, State: Active}
	for _, admin := range []bool{true, false} {
		ory := &oryModel{admin: admin, down: true}
		store := newMemory(ByMint)
		l := newTestLinker(ory, store)
		l.BackReference.Write = WriteNone
		if _, err := l.Standing(t.Context(), alice); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		store.rows["handmade"] = alice // a row of a hook written by hand: Link makes that the bond
		if _, err := l.Standing(t.Context(), alice); !errors.Is(err, ErrNotFound) {
			t.Errorf("a row alone: %v", err)
		}
		if len(store.links)+len(store.events) != 0 {
			t.Errorf("something was written: %v %v", store.links, store.events)
		}
		made, err := l.Link(t.Context(), Seen{Identity: id, Way: ByRequest})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Standing(t.Context(), alice); err != nil || got != made || got.User != "handmade" {
			t.Errorf("%+v, %v, want %+v", got, err, made)
		}
		delete(store.rows, "handmade")
		before := len(store.events)
		if _, err := l.Standing(t.Context(), alice); !errors.Is(err, ErrUserGone) || len(store.events) != before || len(store.open[alice]) != 0 {
			t.Errorf("the row is gone: %v, %v", err, store.open)
		}
		store.down = true
		if _, err := l.Standing(t.Context(), alice); !errors.Is(err, ErrUnavailable) {
			t.Errorf("the store is down: %v", err)
		}
		if _, err := l.Standing(t.Context(), "00000000-0000-0000-0000-000000000000"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("no identity: %v", err)
		}
	}
}
