package link

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestWhy checks that a reason with an address is refused before anything is written, in each
// call that keeps the reason.
func TestWhy(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active}
	store := newMemory(symbolon.ByMint)
	store.rows["42"] = ""
	l := newTestLinker(&oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}, store)
	for _, why := range []string{"asked by ada@example.com", "ada＠example.com", "ada﹫example.com", "@", "a\nb", "a\rb", "a\u2028b", "a\x00b", "a\x7fb", "a\xffb", strings.Repeat("a", 1001)} {
		if err := CheckWhy(why); !errors.Is(err, ErrWhy) {
			t.Errorf("%q: %v", why, err)
		}
		if _, err := l.Bind(t.Context(), alice, "42", symbolon.BindOptions{Why: why}); !errors.Is(err, ErrWhy) {
			t.Errorf("bind with %q: %v", why, err)
		}
		if _, err := l.Erase(t.Context(), alice, "", why); !errors.Is(err, ErrWhy) {
			t.Errorf("erase with %q: %v", why, err)
		}
	}
	if len(store.events) > 0 || len(store.links) > 0 {
		t.Errorf("written: %v", store.events)
	}
	for _, why := range []string{"", "ticket 8812", "Überprüft: 票 8812", strings.Repeat("a", 1000)} {
		if err := CheckWhy(why); err != nil {
			t.Errorf("%q: %v", why, err)
		}
	}
}
