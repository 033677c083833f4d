package link

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// muteStore carries out what it is asked for and gives no answer: a connection that
// broke off in between.
type muteStore struct {
	*memory
	mute bool
}

func (m *muteStore) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	out, err := m.memory.Write(ctx, q, decide)
	if err == nil && m.mute {
		return symbolon.Outcome{}, symbolon.ErrUnavailable
	}
	return out, err
}

// TestWatchWithoutAnswer: what makes an earlier answer wrong is told also where nobody
// knows whether it was committed: whoever does it again finds it done.
func TestWatchWithoutAnswer(t *testing.T) {
	one, two := symbolon.Identity{ID: alice, State: symbolon.Active}, symbolon.Identity{ID: bob, State: symbolon.Active}
	store := &muteStore{memory: newMemory(symbolon.ByMint)}
	l := newTestLinker(&oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: one, bob: two}}, store)
	l.BackReference.Write = WriteNone
	var told []symbolon.IdentityID
	defer l.Watch(func(id symbolon.IdentityID) { told = append(told, id) })()
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: one, Source: symbolon.FromRequest})
	if err != nil || len(told) != 0 {
		t.Fatalf("%v, told %v", err, told)
	}
	store.mute = true
	if _, err := l.Bind(t.Context(), bob, link.User, symbolon.BindOptions{Move: true}); !errors.Is(err, symbolon.ErrUnavailable) || store.links[bob].User != link.User {
		t.Fatal(err)
	}
	if !slices.Contains(told, alice) || !slices.Contains(told, bob) {
		t.Errorf("alice's user went to bob, and told was %v", told)
	}
	told = nil
	if _, err := l.Erase(t.Context(), bob, symbolon.KeepRow, ""); !errors.Is(err, symbolon.ErrUnavailable) || !slices.Contains(told, bob) {
		t.Errorf("bob was erased, %v, and told was %v", err, told)
	}
}
