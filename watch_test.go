package symbolon

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// muteStore carries out what it is asked for and gives no answer: a connection that
// broke off in between.
type muteStore struct {
	*memory
	mute bool
}

func (m *muteStore) Write(ctx context.Context, q Query, decide func(Held) (Plan, error)) (Outcome, error) {
	out, err := m.memory.Write(ctx, q, decide)
	if err == nil && m.mute {
		return Outcome{}, ErrUnavailable
	}
	return out, err
}

// TestWatchWithoutAnswer: what makes an earlier answer wrong is told also where nobody
// knows whether it was committed: whoever does it again finds it done.
func TestWatchWithoutAnswer(t *testing.T) {
	one, two := Identity{ID: alice, State: Active}, Identity{ID: bob, State: Active}
	store := &muteStore{memory: newMemory(ByMint)}
	l := newTestLinker(&oryModel{admin: true, identities: map[IdentityID]Identity{alice: one, bob: two}}, store)
	l.BackReference.Write = WriteNone
	var told []IdentityID
	defer l.Watch(func(id IdentityID) { told = append(told, id) })()
	link, err := l.Link(t.Context(), Seen{Identity: one, Way: ByRequest})
	if err != nil || len(told) != 0 {
		t.Fatalf("%v, told %v", err, told)
	}
	store.mute = true
	if _, err := l.Bind(t.Context(), bob, link.User, BindOptions{Move: true}); !errors.Is(err, ErrUnavailable) || store.links[bob].User != link.User {
		t.Fatal(err)
	}
	if !slices.Contains(told, alice) || !slices.Contains(told, bob) {
		t.Errorf("alice's user went to bob, and told was %v", told)
	}
	told = nil
	if _, err := l.Erase(t.Context(), bob, KeepRow, ""); !errors.Is(err, ErrUnavailable) || !slices.Contains(told, bob) {
		t.Errorf("bob was erased, %v, and told was %v", err, told)
	}
}
