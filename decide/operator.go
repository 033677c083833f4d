package decide

import (
	"cmp"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Bind decides what the operator ordered: the identity gets an existing user, whatever the
// evidence says. If another identity has the user, Bind asks whether that identity is gone.
// With o.Move it does not ask, and takes the user away in any case.
//
// A *symbolon.ConflictError says which existing bond prevents this.
func Bind(r symbolon.Reading, e symbolon.Evidence, user symbolon.UserID, o symbolon.BindOptions, p Policy) (symbolon.Plan, Question, error) {
	id := r.Identity.ID
	target := claimedAt(e, 0)
	if target.Row == nil && p.NewID == symbolon.ByApplication && IsKey(string(user)) {
		target.Row = &symbolon.Row{ID: user, Linked: target.Linked} // the store knows the application's users only by their bonds
	}
	switch {
	case target.Retired:
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: "this ID belonged to a user that was deleted and is never given out again"}
	case target.Row == nil:
		return symbolon.Plan{}, Question{}, fmt.Errorf("user %s has no row in the users table: %w", user, symbolon.ErrNotFound)
	case e.Link != nil && e.Link.State == symbolon.Linked && e.Link.User == user && target.Row.Identity == id:
		return symbolon.Plan{Action: symbolon.Keep, User: user}, Question{}, nil
	}
	if e.Link != nil && e.Link.State == symbolon.Erased {
		return symbolon.Plan{}, Question{}, ConflictErased(id, user)
	}
	plan := symbolon.Plan{Action: symbolon.Attach, User: user, Why: cmp.Or(o.Why, "the operator's order"), BackReference: backReference(r, user, p)}
	if other := otherOwner(target, id); other != "" {
		gone, known := p.Gone[other]
		if !o.Move && p.Admin && !known {
			return symbolon.Plan{}, Question{Gone: other}, nil
		}
		if !o.Move && !gone {
			return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the user belongs to identity %s", other), Movable: true}
		}
		plan.Release = other
	}
	if current := currentUser(e, user); current != "" && !o.Move {
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf("the identity belongs to user %s", current), Movable: true}
	}
	return plan, Question{}, nil
}

// BindNew decides what the operator ordered: the identity gets a new user, whatever the evidence
// says. It ends a hold, and the bond with a user that has no row any more.
//
// A *symbolon.ConflictError says which user the identity has already.
func BindNew(r symbolon.Reading, e symbolon.Evidence, why string, p Policy) (symbolon.Plan, Question, error) {
	id := r.Identity.ID
	conflict := func(user symbolon.UserID, format string, args ...any) (symbolon.Plan, Question, error) {
		return symbolon.Plan{}, Question{}, &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf(format, args...)}
	}
	plan := symbolon.Plan{User: freshID(r, p), Why: cmp.Or(why, "the operator's order: a new user")}
	switch link := e.Link; {
	case link != nil && link.State == symbolon.Erased:
		return symbolon.Plan{}, Question{}, ConflictErased(id, link.User)
	case e.Row != nil:
		return conflict(e.Row.ID, "the row of user %s holds the identity", e.Row.ID)
	case link != nil && link.State == symbolon.Also:
		return conflict(link.User, "the identity is a further one of user %s; symbolon unlink takes it away first", link.User)
	case link == nil || link.State == symbolon.OnHold:
	case e.User != nil && link.State == symbolon.Linked:
		return conflict(link.User, "the identity belongs to user %s, whose row does not hold it; correct the row", link.User)
	case p.NewID == symbolon.ByIdentity:
		return conflict(link.User, "the new user would have the ID of the former one, %s, and an ID is never given out again", link.User)
	case e.User == nil:
		plan.Retire = link.User
	}
	plan, asked := create(r, e, p, plan)
	return plan, asked, nil
}

// ConflictErased is the answer to an order to bind an identity whose person was erased.
func ConflictErased(id symbolon.IdentityID, user symbolon.UserID) *symbolon.ConflictError {
	return &symbolon.ConflictError{Identity: id, User: user, Reason: "the identity's person was erased, so it can never be bound again"}
}

// otherOwner returns the identity other than id that has the user.
func otherOwner(c symbolon.Claimed, id symbolon.IdentityID) symbolon.IdentityID {
	for _, other := range []symbolon.IdentityID{c.Row.Identity, c.Linked} {
		if other != "" && other != id {
			return other
		}
	}
	return ""
}

// currentUser returns the user of the identity, or "" if that user is the one in the
// parameter want. A user without a row is ignored.
func currentUser(e symbolon.Evidence, want symbolon.UserID) symbolon.UserID {
	if e.Row != nil && e.Row.ID != want {
		return e.Row.ID
	}
	if e.Link != nil && (e.Link.State == symbolon.Linked || e.Link.State == symbolon.Also) && e.User != nil && e.User.ID != want {
		return e.User.ID
	}
	return ""
}
