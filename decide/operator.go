package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// decideBind is pure, as decide is.
func Bind(s symbolon.Reading, h symbolon.Evidence, user symbolon.UserID, o symbolon.BindOptions, p Policy) (symbolon.Plan, Question, error) {
	id := s.Identity.ID
	target := claimedAt(h, 0)
	if target.Row == nil && p.NewID == symbolon.ByApplication && IsKey(string(user)) {
		target.Row = &symbolon.Row{ID: user, Linked: target.Linked} // the store knows those it was told of, as now
	}
	switch {
	case target.Retired:
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: "this ID belonged to a user that was deleted and is never given out again"}
	case target.Row == nil:
		return symbolon.Plan{}, Question{}, fmt.Errorf("user %s has no row in the users table: %w", user, symbolon.ErrNotFound)
	case h.Link != nil && h.Link.State == symbolon.Linked && h.Link.User == user && target.Row.Identity == id:
		return symbolon.Plan{Action: symbolon.Keep, User: user}, Question{}, nil
	}
	if h.Link != nil && h.Link.State == symbolon.Erased {
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: "the identity's person was erased"}
	}
	plan := symbolon.Plan{Action: symbolon.Attach, User: user, Why: o.Why, BackReference: backReference(s, user, p)}
	if plan.Why == "" {
		plan.Why = "the operator's word"
	}
	if other := otherOwner(target, id); other != "" {
		gone, known := p.Gone[other]
		if !o.Move && p.Admin && !known {
			return symbolon.Plan{}, Question{Gone: other}, nil
		}
		if !o.Move && !gone {
			return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the user belongs to identity %s; move takes it away", other)}
		}
		plan.Release = other
	}
	if current := currentUser(h, user); current != "" && !o.Move {
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the identity belongs to user %s; move takes it away", current)}
	}
	return plan, Question{}, nil
}

// otherOwner is the identity, other than id, that has the user.
func otherOwner(c symbolon.Claimed, id symbolon.IdentityID) symbolon.IdentityID {
	for _, other := range []symbolon.IdentityID{c.Row.Identity, c.Linked} {
		if other != "" && other != id {
			return other
		}
	}
	return ""
}

// currentUser is the living user, other than the wanted one, that the identity
// has. One whose row is gone stands in nobody's way.
func currentUser(h symbolon.Evidence, want symbolon.UserID) symbolon.UserID {
	if h.Row != nil && h.Row.ID != want {
		return h.Row.ID
	}
	if h.Link != nil && h.Link.State == symbolon.Linked && h.User != nil && h.User.ID != want {
		return h.User.ID
	}
	return ""
}
