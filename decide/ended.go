package decide

import (
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// End decides how an identity's bond ends. The ledger's entry gets the state in the
// parameter state (Gone or Erased). An entry that is Erased already stays Erased. The
// parameter row says what happens to the user's row, but only if the ledger and the row's
// identity column agree. Every other row is left to the application.
func End(r symbolon.Reading, e symbolon.Evidence, state symbolon.LinkState, row symbolon.RowPolicy, why string) symbolon.Plan {
	plan := symbolon.Plan{Action: symbolon.End, State: state, Row: row, Why: why}
	user := endedUser(e)
	plan.User = user
	own := e.Row != nil && e.Row.ID == user && (e.Row.Linked == "" || e.Row.Linked == r.Identity.ID)
	if !own {
		plan.Row = "" // there is no row, or it may be somebody else's
	}
	before := symbolon.LinkState("")
	if e.Link != nil {
		before = e.Link.State
	}
	if before == symbolon.Erased {
		plan.State = symbolon.Erased // an erased person stays erased
	}
	if plan.State == before && plan.Row == "" && own {
		// Nothing is left to do. An identity without a row does not come here (own is false).
		// It gets the action End again, because the store may still have to close the finding
		// RowKept.
		return symbolon.Plan{Action: symbolon.Keep, User: user}
	}
	if e.Link != nil && e.Link.State == symbolon.Also {
		plan.Row = "" // the user keeps its primary identity
		return plan
	}
	if missing := e.Row == nil && e.User == nil; user != "" && (own || missing) && (row.Ends() || plan.State == symbolon.Erased) {
		plan.Retire = user
	}
	return plan
}

// endedUser is the user whose bond ends. It ignores the former user that an entry on hold
// may name, because that user may now belong to another identity.
func endedUser(e symbolon.Evidence) symbolon.UserID {
	if e.Link != nil && e.Link.State != symbolon.OnHold && e.Link.User != "" {
		return e.Link.User
	}
	if e.Row != nil {
		return e.Row.ID // the application wrote the identity into the row itself, which is as good as a link
	}
	return ""
}

// ended denies a user to an identity whose bond is over. An identity that was proved
// gone can come back when a backup is restored; the operator decides about it.
func ended(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	link := e.Link
	if link.State == symbolon.Erased {
		return decided(deny(r, link.User, symbolon.UserGone, symbolon.ErrUserGone, "the person was erased"))
	}
	if !r.Admin && p.Admin {
		return ask(Question{Identity: true})
	}
	detail := "it was proved that Ory no longer had the identity, and now Ory has it again; bind gives it a user"
	if link.User != "" {
		detail = fmt.Sprintf("it was proved that Ory no longer had the identity of user %s, and now Ory has it again; bind gives it the user again", link.User)
	}
	return decided(deny(r, link.User, symbolon.IdentityReturned, symbolon.ErrOnHold, detail,
		finding(r, symbolon.IdentityReturned, link.User, detail)))
}

// Rebind decides whether the identity gets the user of another identity that is proved
// gone. It gets the user if its metadata claims that user and it has no user yet.
//
// A *symbolon.ConflictError says why it does not get the user.
func Rebind(r symbolon.Reading, e symbolon.Evidence, gone symbolon.IdentityID, p Policy) (symbolon.Plan, error) {
	id := r.Identity.ID
	if rebound(r, e, p) {
		return symbolon.Plan{Action: symbolon.Keep, User: e.Link.User}, nil
	}
	if e.Row != nil || e.Link != nil && e.Link.State != symbolon.OnHold {
		user := symbolon.UserID("")
		if e.Link != nil {
			user = e.Link.User
		}
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: id, User: user, Reason: "the identity has a user, or had one"}
	}
	for at, user := range claimsOf(r.Identity, p.Key).users() {
		known := claimedAt(e, at)
		if user == "" || known.Row == nil || known.Retired || known.Owner() != gone {
			continue
		}
		if known.Linked != "" && known.Linked != gone {
			continue
		}
		return symbolon.Plan{Action: symbolon.Attach, User: user, Release: gone, ReleaseGone: true, BackReference: backReference(r, user, p),
			Why: fmt.Sprintf("it claims the user of identity %s, which is proved gone", gone)}, nil
	}
	return symbolon.Plan{}, &symbolon.ConflictError{Identity: id, User: "", Reason: fmt.Sprintf("it claims no user of identity %s", gone)}
}

// rebound reports whether an earlier call of Rebind has moved the user already: the
// identity has the user that it claims.
func rebound(r symbolon.Reading, e symbolon.Evidence, p Policy) bool {
	return e.Link != nil && e.Link.State == symbolon.Linked && e.Row != nil && e.Row.ID == e.Link.User &&
		slices.Contains(claimsOf(r.Identity, p.Key).users(), e.Link.User)
}
