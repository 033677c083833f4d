package decide

import (
	"cmp"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// A user has one primary identity: the ledger links it, and the user's row holds it. Only this
// identity fills the row. Further identities sign in as the same user, because an operator or
// the application said so. They are never found by evidence.

// further decides about a further identity. No reading of it changes anything.
func further(r symbolon.Reading, e symbolon.Evidence) symbolon.Plan {
	user := e.Link.User
	switch {
	case e.Row != nil:
		return disagree(r, user, fmt.Sprintf(
			"the ledger says that the identity is a further one of user %s, but the row of user %s holds the identity; decide with symbolon bind", user, e.Row.ID))
	case e.User == nil:
		return deny(r, user, symbolon.UserGone, symbolon.ErrUserGone, fmt.Sprintf("user %s was deleted", user))
	case !hasPrimary(*e.User):
		return deny(r, user, symbolon.UserGone, symbolon.ErrUserGone,
			fmt.Sprintf("user %s has no primary identity any more; symbolon bind makes this one the primary identity", user))
	}
	return symbolon.Plan{Action: symbolon.Keep, User: user, Err: byRowItself(r, e.User)}
}

// hasPrimary reports whether the ledger and the row agree about the user's primary identity.
func hasPrimary(row symbolon.Row) bool { return row.Linked != "" && row.Linked == row.Identity }

// BindAlso decides what the operator ordered: the identity becomes a further one of an existing
// user. e.Claims answers for this user.
//
// A *symbolon.ConflictError says why this is not possible.
func BindAlso(r symbolon.Reading, e symbolon.Evidence, user symbolon.UserID, o symbolon.BindOptions) (symbolon.Plan, error) {
	conflict := func(format string, args ...any) (symbolon.Plan, error) {
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: r.Identity.ID, User: user, Reason: fmt.Sprintf(format, args...)}
	}
	if err := partOf(r.Identity.ID, claimedAt(e, 0), user); err != nil {
		return symbolon.Plan{}, err
	}
	switch link := e.Link; {
	case e.Row != nil && e.Row.ID == user:
		return conflict("it is the user's primary identity already")
	case e.Row != nil:
		return conflict("the identity has user %s; symbolon merge %s %s unites the two users", e.Row.ID, e.Row.ID, user)
	case link == nil || link.State == symbolon.OnHold:
	case link.State == symbolon.Erased:
		return symbolon.Plan{}, ConflictErased(r.Identity.ID, user)
	case link.State == symbolon.Also && link.User == user:
		return symbolon.Plan{Action: symbolon.Keep, User: user}, nil
	case link.State == symbolon.Also && !o.Move:
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: r.Identity.ID, User: user, Reason: fmt.Sprintf("the identity is a further one of user %s", link.User), Movable: true}
	case link.State == symbolon.Linked && e.User != nil:
		return conflict("the ledger links the identity to user %s, whose row does not hold it; correct the row", link.User)
	}
	if r.Identity.State != symbolon.Active {
		return conflict("the identity is not active at Ory")
	}
	return symbolon.Plan{Action: symbolon.Attach, Also: true, User: user, Why: cmp.Or(o.Why, "the operator's order: a further identity")}, nil
}

// partOf returns the reason why a user can be no side of a merge and can have no further
// identity: it does not exist, its two halves disagree, or it is denied.
func partOf(id symbolon.IdentityID, c symbolon.Claimed, user symbolon.UserID) error {
	conflict := func(format string, args ...any) error {
		return &symbolon.ConflictError{Identity: id, User: user, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Retired:
		return conflict("user %s was deleted or merged, and its ID is never given out again", user)
	case c.Row == nil:
		return fmt.Errorf("user %s has no row in the users table: %w", user, symbolon.ErrNotFound)
	case !hasPrimary(*c.Row):
		return conflict("user %s has no primary identity, by the ledger and by its row; symbolon bind gives it one", user)
	case c.Row.Denied != "":
		return conflict("the application denies user %s (%s)", user, c.Row.Denied)
	case c.Row.Unjudged != "":
		return conflict("nobody knows whether the application denies user %s, because users.deny cannot judge the value of column %s", user, c.Row.Unjudged)
	}
	return nil
}

// Unlink decides what the operator ordered: the identity is no longer a further one of its
// user. It stays on hold until it is bound again.
//
// A *symbolon.ConflictError says that it is not a further identity.
func Unlink(r symbolon.Reading, e symbolon.Evidence, why string) (symbolon.Plan, error) {
	id := r.Identity.ID
	switch link := e.Link; {
	case link == nil && e.Row == nil:
		return symbolon.Plan{}, fmt.Errorf("identity %s has no user: %w", id, symbolon.ErrNotFound)
	case link != nil && link.State == symbolon.OnHold && link.Reason == symbolon.Moved:
		return symbolon.Plan{Action: symbolon.Keep}, nil // it was taken away before
	case link == nil || link.State != symbolon.Also:
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: id, Reason: "it is not a further identity of a user; only a further identity can be unlinked"}
	}
	detail := fmt.Sprintf("the operator took the identity from user %s; symbolon bind can give it a user again", e.Link.User)
	return symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.Moved, Why: cmp.Or(why, "the operator's order"),
		Findings: []symbolon.Finding{finding(r, symbolon.Moved, e.Link.User, detail)}}, nil
}

// Merge decides what the operator ordered: the identity's user from ends, and the identity
// becomes a further one of the user into. e.Claims answers for from and into.
//
// A *symbolon.ConflictError says why this is not possible.
func Merge(r symbolon.Reading, e symbolon.Evidence, from, into symbolon.UserID, why string) (symbolon.Plan, error) {
	id := r.Identity.ID
	for at, user := range []symbolon.UserID{from, into} {
		if err := partOf("", claimedAt(e, at), user); err != nil {
			return symbolon.Plan{}, err
		}
	}
	conflict := func(reason string) (symbolon.Plan, error) {
		return symbolon.Plan{}, &symbolon.ConflictError{User: into, Reason: reason}
	}
	switch {
	case claimedAt(e, 0).Row.ID == claimedAt(e, 1).Row.ID:
		return conflict("a user cannot be merged into itself")
	case claimedAt(e, 0).Linked != id || e.Link == nil || e.Link.State != symbolon.Linked:
		return conflict(fmt.Sprintf("user %s has another identity now", from))
	case r.Identity.State != symbolon.Active:
		return conflict(fmt.Sprintf("the identity of user %s is not active at Ory", from))
	}
	return symbolon.Plan{Action: symbolon.Attach, Also: true, User: into, Retire: from, Why: cmp.Or(why, fmt.Sprintf("the operator's order: user %s was merged into user %s", from, into))}, nil
}

// Unmerge decides what the operator ordered: the merge of the user from is undone, and the
// identity has this user again. e.Claims answers for from.
//
// A *symbolon.ConflictError says why this is not possible.
func Unmerge(r symbolon.Reading, e symbolon.Evidence, from, into symbolon.UserID, why string) (symbolon.Plan, error) {
	c := claimedAt(e, 0)
	conflict := func(reason string) (symbolon.Plan, error) {
		return symbolon.Plan{}, &symbolon.ConflictError{User: from, Reason: reason}
	}
	switch {
	case e.Link != nil && e.Link.State == symbolon.Linked && e.Link.User == from:
		return symbolon.Plan{Action: symbolon.Keep, User: from}, nil // it was undone before
	case e.Link == nil || e.Link.State != symbolon.Also || e.Link.User != into || e.Row != nil:
		return conflict(fmt.Sprintf("the identity is no longer a further one of user %s", into))
	case c.Row == nil:
		return symbolon.Plan{}, fmt.Errorf("user %s has no row in the users table: %w", from, symbolon.ErrNotFound)
	case c.Owner() != "":
		return conflict(fmt.Sprintf("the user belongs to identity %s", c.Owner()))
	}
	return symbolon.Plan{Action: symbolon.Attach, User: from, Revive: true,
		Why: cmp.Or(why, fmt.Sprintf("the operator's order: the merge into user %s was undone", into))}, nil
}
