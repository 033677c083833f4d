package symbolon

import (
	"context"
	"fmt"
)

// Standing returns the bond of an identity of which nothing but its ID is known, as
// it stands. It writes nothing and makes no user: which one an identity has is
// decided by what Ory holds of it.
//
// Errors: a *DenyError where there is a user that must not be handed out;
// ErrNotFound where no bond stands, and [Linker.Link] has to be told more;
// everything else is "don't know".
func (l *Linker) Standing(ctx context.Context, id IdentityID) (Link, error) {
	l.setup()
	id, err := ParseIdentityID(string(id))
	if err != nil {
		return Link{}, fmt.Errorf("look up: %w", err)
	}
	p := l.policy()
	seen := Seen{Identity: Identity{ID: id}, Way: ByRequest}
	held, err := l.Store.Look(ctx, l.query(seen, p))
	if err != nil {
		return Link{}, fmt.Errorf("look up identity %s: %w", id, err)
	}
	switch plan := decide(seen, held, p); plan.Action {
	case Keep:
		return *held.Link, nil
	case Deny, Hold:
		return Link{}, fmt.Errorf("look up identity %s: %w", id, plan.Err)
	}
	return Link{}, fmt.Errorf("no bond of identity %s stands: %w", id, ErrNotFound)
}
