package decide

import (
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Adopt decides one line of an operator's plan: it binds the identity to the user if the
// line's proof still holds. If the proof is a place in the identity (metadata_public,
// external_id or the voucher), claim is the user ID that the identity holds there; see
// [ClaimOf].
//
// A *symbolon.ConflictError says which fact has changed.
func Adopt(r symbolon.Reading, e symbolon.Evidence, a symbolon.Adoption, claim symbolon.UserID, p Policy) (symbolon.Plan, error) {
	target := claimedAt(e, 0)
	conflict := func(format string, args ...any) (symbolon.Plan, error) {
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: a.Identity, User: a.User, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case target.Retired:
		return conflict("this ID belonged to a user that was deleted and is never given out again")
	case target.Row == nil:
		return symbolon.Plan{}, fmt.Errorf("user %s has no row in the users table: %w", a.User, symbolon.ErrNotFound)
	case e.Link != nil && e.Link.State == symbolon.Linked && e.Link.User == target.Row.ID && target.Row.Identity == a.Identity:
		return symbolon.Plan{Action: symbolon.Keep, User: target.Row.ID}, nil
	case e.Link != nil && e.Link.State != symbolon.OnHold:
		return conflict("meanwhile the ledger says that the identity is %s, with user %s", e.Link.State, e.Link.User)
	case e.Row != nil && e.Row.ID != target.Row.ID:
		return conflict("meanwhile the row of user %s holds the identity", e.Row.ID)
	case otherOwner(target, a.Identity) != "":
		return conflict("meanwhile the user belongs to identity %s", otherOwner(target, a.Identity))
	}
	if change := unproved(a, r.Identity, e, claim, target.Row.ID); change != "" {
		return conflict("%s", change)
	}
	bond := adoptedBond(a, e)
	return symbolon.Plan{Action: symbolon.Attach, User: target.Row.ID, Run: a.Run, Adopted: bond, Why: adoptedBy(a.Run, bond),
		BackReference: backReference(r, target.Row.ID, p)}, nil
}

// unproved says why the proof of the line no longer holds. It is empty if the proof holds.
func unproved(a symbolon.Adoption, id symbolon.Identity, e symbolon.Evidence, claim, user symbolon.UserID) string {
	if _, ok := a.By.Column(); ok {
		return ""
	}
	switch a.By {
	case symbolon.ByIdentityColumn:
		if e.Row == nil {
			return "the user's row does not hold the identity any more"
		}
	case symbolon.ByVerifiedEmail:
		if found, verdict := JudgeEmail(id, e.Matches); verdict != EmailProves || found != user {
			return "the e-mail address no longer proves that the two belong together: " + string(verdict)
		}
	default:
		if claim != user {
			return fmt.Sprintf("the identity's %s does not name the user any more", a.By)
		}
	}
	return ""
}

// adoptedBond holds the data for undoing the adoption.
func adoptedBond(a symbolon.Adoption, e symbolon.Evidence) *symbolon.AdoptedBond {
	bond := &symbolon.AdoptedBond{By: a.By, ColumnSet: e.Row == nil}
	if e.Link != nil && e.Link.State == symbolon.OnHold {
		bond.WasOnHold = e.Link.Reason
	}
	return bond
}

// adoptedBy describes the bond for the history.
func adoptedBy(run string, bond *symbolon.AdoptedBond) string {
	why := adoptMark(run) + "by " + string(bond.By)
	if bond.ColumnSet {
		why += "; the run filled the row's identity column"
	}
	if bond.WasOnHold != "" {
		why += "; the identity was on hold before: " + string(bond.WasOnHold)
	}
	return why
}

// adoptMark begins every sentence about a run.
func adoptMark(run string) string { return "adopt " + run + ": " }

// Unadopt decides how one bond of a run is undone; made is the event that recorded the
// bond. An identity that no row holds then is on hold, so that it gets no new user. If the bond has changed since, the error is a *symbolon.ConflictError.
func Unadopt(e symbolon.Evidence, run string, made symbolon.Event) (symbolon.Plan, error) {
	bond := made.Adopted
	if bond == nil || made.Run != run || made.Kind != symbolon.UserLinked || made.Source != symbolon.FromAdopt {
		return symbolon.Plan{}, errors.New("undo: this event did not record a bond that this run made")
	}
	target := claimedAt(e, 0)
	switch {
	case e.Link == nil || e.Link.State == symbolon.OnHold && e.Link.User == "":
		return symbolon.Plan{Action: symbolon.Keep}, nil
	case e.Link.State != symbolon.Linked || e.Link.User != made.User || e.Link.Source != symbolon.FromAdopt || !e.Link.At.Equal(made.At):
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: made.Identity, User: made.User, Reason: "the bond was made again or ended since"}
	case target.Row == nil || target.Row.Identity != made.Identity:
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: made.Identity, User: made.User, Reason: "the application changed or deleted the user's row since"}
	}
	plan := symbolon.Plan{Action: symbolon.Detach, User: made.User, Clear: bond.ColumnSet, Run: run, Why: adoptMark(run) + "undone"}
	switch plan.Reason = bond.WasOnHold; {
	case plan.Reason != "":
		plan.Findings = []symbolon.Finding{{Kind: plan.Reason, Identity: made.Identity,
			Detail: "on hold again, because its adoption was undone; decide with symbolon bind"}}
	case bond.ColumnSet: // no row holds the identity now, so it would get a new user
		plan.Reason = symbolon.AdoptAmbiguous
		plan.Findings = []symbolon.Finding{{Kind: plan.Reason, Identity: made.Identity,
			Detail: "its adoption was undone; apply a plan again, or decide with symbolon bind"}}
	}
	return plan, nil
}
