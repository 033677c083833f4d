package symbolon

import (
	"context"
	"errors"
	"fmt"
)

// BindOptions qualify the operator's word.
type BindOptions struct {
	// Move allows to take the user away from another identity that Ory still has,
	// and the identity away from the user it has. Without it such a bind is a
	// *ConflictError.
	Move bool

	// Why is kept in the history.
	Why string
}

// Bind binds an identity to an existing user: the operator's word, above all
// evidence. It settles whatever was held. The user's row must exist, unless the
// application makes its users itself; and with an admin URL the identity must exist
// at Ory.
//
// Errors: *ConflictError where a bond of a living identity stands in the way,
// ErrNotFound where either half does not exist, ErrUnavailable.
func (l *Linker) Bind(ctx context.Context, id IdentityID, user UserID, o BindOptions) (Link, error) {
	l.setup()
	seen := Seen{Identity: Identity{ID: id}, Way: ByOperator}
	if l.Ory.HasAdmin() {
		var err error
		if seen, err = l.read(ctx, id, ByOperator); err != nil {
			return Link{}, fmt.Errorf("bind: %w", err)
		}
	}
	p := l.policy()
	q := Query{Project: l.project(), Seen: seen, Claims: []UserID{user}}
	for range rounds {
		var asked question
		out, err := l.carryOut(ctx, q, func(h Held) (Plan, error) {
			var plan Plan
			var err error
			if plan, asked, err = decideBind(seen, h, user, o, p); err == nil && !asked.none() {
				err = errAsk
			}
			return plan, err
		})
		if !errors.Is(err, errAsk) {
			return l.finish(ctx, seen, out, err)
		}
		if seen, err = l.learn(ctx, seen, asked, p); err != nil {
			return Link{}, fmt.Errorf("bind: %w", err)
		}
	}
	return Link{}, fmt.Errorf("bind identity %s: the bonds keep changing: %w", id, ErrUnavailable)
}

// decideBind is pure, as decide is.
func decideBind(s Seen, h Held, user UserID, o BindOptions, p policy) (Plan, question, error) {
	id := s.Identity.ID
	target := held(h, 0)
	if target.Row == nil && p.newID == ByApplication && plausible(string(user)) {
		target.Row = &Row{ID: user, Linked: target.Linked} // the store knows those it was told of, as now
	}
	switch {
	case target.Retired:
		return Plan{}, question{}, &ConflictError{Identity: id, User: user, Reason: "this ID belonged to a user that was deleted and is never given out again"}
	case target.Row == nil:
		return Plan{}, question{}, fmt.Errorf("user %s has no row in the users table: %w", user, ErrNotFound)
	case h.Link != nil && h.Link.State == Linked && h.Link.User == user && target.Row.Identity == id:
		return Plan{Action: Keep, User: user}, question{}, nil
	}
	if h.Link != nil && h.Link.State == Erased {
		return Plan{}, question{}, &ConflictError{Identity: id, User: user, Reason: "the identity's person was erased"}
	}
	plan := Plan{Action: Attach, User: user, Why: o.Why, BackReference: backReference(s, user, p)}
	if plan.Why == "" {
		plan.Why = "the operator's word"
	}
	if other := otherOwner(target, id); other != "" {
		gone, known := p.gone[other]
		if !o.Move && p.admin && !known {
			return Plan{}, question{gone: other}, nil
		}
		if !o.Move && !gone {
			return Plan{}, question{}, &ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the user belongs to identity %s; move takes it away", other)}
		}
		plan.Release = other
	}
	if current := currentUser(h, user); current != "" && !o.Move {
		return Plan{}, question{}, &ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the identity belongs to user %s; move takes it away", current)}
	}
	return plan, question{}, nil
}

// otherOwner is the identity, other than id, that has the user.
func otherOwner(c Claimed, id IdentityID) IdentityID {
	for _, other := range []IdentityID{c.Row.Identity, c.Linked} {
		if other != "" && other != id {
			return other
		}
	}
	return ""
}

// currentUser is the living user, other than the wanted one, that the identity
// has. One whose row is gone stands in nobody's way.
func currentUser(h Held, want UserID) UserID {
	if h.Row != nil && h.Row.ID != want {
		return h.Row.ID
	}
	if h.Link != nil && h.Link.State == Linked && h.User != nil && h.User.ID != want {
		return h.User.ID
	}
	return ""
}
