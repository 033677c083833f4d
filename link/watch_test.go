package link

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// lostAnswerStore commits, and then the connection breaks before the answer.
type lostAnswerStore struct {
	*memory
	lost bool
}

func (m *lostAnswerStore) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	out, err := m.memory.Write(ctx, q, decide)
	if err == nil && m.lost {
		return symbolon.Outcome{}, symbolon.ErrUnavailable
	}
	return out, err
}

// TestWatchWithoutAnswer checks that the watchers are notified even if it is unknown
// whether the change was committed. A repetition could not notify them, because it finds
// nothing left to change.
func TestWatchWithoutAnswer(t *testing.T) {
	one, two := symbolon.Identity{ID: alice, State: symbolon.Active}, symbolon.Identity{ID: bob, State: symbolon.Active}
	store := &lostAnswerStore{memory: newMemory(symbolon.ByMint)}
	l := newTestLinker(&oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: one, bob: two}}, store)
	l.BackReference.Write = WriteNone
	var notified []symbolon.IdentityID
	defer l.Watch(func(id symbolon.IdentityID) { notified = append(notified, id) })()
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: one, Source: symbolon.FromRequest})
	if err != nil || len(notified) != 0 {
		t.Fatalf("%v, notified %v", err, notified)
	}
	store.lost = true
	if _, err := l.Bind(t.Context(), bob, link.User, symbolon.BindOptions{Move: true}); !errors.Is(err, symbolon.ErrUnavailable) || store.links[bob].User != link.User {
		t.Fatal(err)
	}
	if !slices.Contains(notified, alice) || !slices.Contains(notified, bob) {
		t.Errorf("alice's user went to bob, and notified was %v", notified)
	}
	notified = nil
	if _, err := l.Erase(t.Context(), bob, symbolon.KeepRow, ""); !errors.Is(err, symbolon.ErrUnavailable) || !slices.Contains(notified, bob) {
		t.Errorf("bob was erased, %v, and notified was %v", err, notified)
	}
}
