package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

type creatorFunc func(context.Context, symbolon.Identity) (symbolon.UserID, error)

func (f creatorFunc) Create(ctx context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	return f(ctx, id)
}

// TestCreatorAnswers checks that each answer of a Creator becomes one of Link's errors,
// and that no half-made user is left.
func TestCreatorAnswers(t *testing.T) {
	tests := []struct {
		name   string
		user   symbolon.UserID
		err    error
		want   error
		onHold bool
	}{
		{name: "denied", err: fmt.Errorf("denied: %w", symbolon.ErrCannotCreate), want: symbolon.ErrCannotCreate, onHold: true},
		{name: "unavailable", err: symbolon.ErrUnavailable, want: symbolon.ErrUnavailable},
		{name: "any other error", err: errors.New("boom"), want: symbolon.ErrUnavailable},
		{name: "given up", err: context.DeadlineExceeded, want: symbolon.ErrUnavailable},
		{name: "no user and no error", want: symbolon.ErrUnavailable},
		{name: "an ID that no database can store", user: "a\x00", want: symbolon.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
			store := newMemory(symbolon.ByApplication)
			l := newTestLinker(&oryModel{identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}, store)
			l.Creator = creatorFunc(func(context.Context, symbolon.Identity) (symbolon.UserID, error) { return tt.user, tt.err })
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
			if !errors.Is(err, tt.want) || len(store.rows) != 0 || (len(store.links) == 1) != tt.onHold {
				t.Errorf("got %v, %d rows, %d entries", err, len(store.rows), len(store.links))
			}
		})
	}
}

// TestNoCreator checks that a missing Creator is an error, and never a denial.
func TestNoCreator(t *testing.T) {
	l := newTestLinker(&oryModel{}, newMemory(symbolon.ByApplication))
	_, err := l.Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{ID: alice}, Source: symbolon.FromRequest})
	if err == nil || errors.Is(err, symbolon.ErrCannotCreate) {
		t.Errorf("got %v", err)
	}
}

// TestBackReferenceOfTheApplicationsUser checks that the ID that the application chose is
// written.
func TestBackReferenceOfTheApplicationsUser(t *testing.T) {
	id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now()}
	ory := &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}
	l := newTestLinker(ory, newMemory(symbolon.ByApplication))
	l.BackReference.Write = WriteCreate
	l.Creator = creatorFunc(func(context.Context, symbolon.Identity) (symbolon.UserID, error) { return "42", nil })
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ory.patches); got != "["+string(alice)+" id 42]" {
		t.Errorf("Ory got %s", got)
	}
}
