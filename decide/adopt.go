package decide

import (
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// decideAdopt is pure, as decide is. says is whom the identity names by itself.
func Adopt(s symbolon.Reading, h symbolon.Evidence, a symbolon.Adoption, says symbolon.UserID, p Policy) (symbolon.Plan, error) {
	target := claimedAt(h, 0)
	conflict := func(format string, args ...any) (symbolon.Plan, error) {
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: a.Identity, User: a.User, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case target.Retired:
		return conflict("this ID belonged to a user that was deleted and is never given out again")
	case target.Row == nil:
		return symbolon.Plan{}, fmt.Errorf("user %s has no row in the users table: %w", a.User, symbolon.ErrNotFound)
	case h.Link != nil && h.Link.State == symbolon.Linked && h.Link.User == target.Row.ID && target.Row.Identity == a.Identity:
		return symbolon.Plan{Action: symbolon.Keep, User: target.Row.ID}, nil
	case h.Link != nil && h.Link.State != symbolon.OnHold:
		return conflict("the ledger has the identity as %s with user %s by now", h.Link.State, h.Link.User)
	case h.Row != nil && h.Row.ID != target.Row.ID:
		return conflict("the row of user %s holds the identity by now", h.Row.ID)
	case otherOwner(target, a.Identity) != "":
		return conflict("the user belongs to identity %s by now", otherOwner(target, a.Identity))
	}
	if change := unproved(a, s.Identity, h, says, target.Row.ID); change != "" {
		return conflict("%s", change)
	}
	return symbolon.Plan{Action: symbolon.Attach, User: target.Row.ID, Why: adoptedBy(a, h), BackReference: backReference(s, target.Row.ID, p)}, nil
}

// unproved says which fact the line relied on is not so any more.
func unproved(a symbolon.Adoption, id symbolon.Identity, h symbolon.Evidence, says, user symbolon.UserID) string {
	if _, ok := a.By.Column(); ok {
		return ""
	}
	switch a.By {
	case symbolon.ByIdentityColumn:
		if h.Row == nil {
			return "the user's row does not hold the identity any more"
		}
	case symbolon.ByVerifiedEmail:
		if found, verdict := JudgeEmail(id, h.Matches); verdict != EmailProves || found != user {
			return "the e-mail address does not prove it any more: " + string(verdict)
		}
	default:
		if says != user {
			return fmt.Sprintf("the identity's %s does not name the user any more", a.By)
		}
	}
	return ""
}

// What the history says of an adoption. Undoing reads it.
const (
	columnWasSet = "; its column was set"
	wasOnHold    = "; it was on hold: "
)

func adoptedBy(a symbolon.Adoption, h symbolon.Evidence) string {
	why := AdoptMark(a.Run) + "by " + string(a.By)
	if h.Row == nil {
		why += columnWasSet
	}
	if h.Link != nil && h.Link.State == symbolon.OnHold {
		why += wasOnHold + string(h.Link.Reason)
	}
	return why
}

// AdoptMark is how the Detail of every event of a run begins.
func AdoptMark(run string) string { return "adopt " + run + ": " }

// decideUnadopt is pure, as decide is.
func Unadopt(h symbolon.Evidence, run string, made symbolon.Event) (symbolon.Plan, error) {
	why, ours := strings.CutPrefix(made.Detail, AdoptMark(run))
	if !ours || made.Kind != symbolon.UserLinked || made.Source != symbolon.FromAdopt {
		return symbolon.Plan{}, errors.New("undo: the event is none of the run's bonds")
	}
	target := claimedAt(h, 0)
	switch {
	case h.Link == nil || h.Link.State == symbolon.OnHold && h.Link.User == "":
		return symbolon.Plan{Action: symbolon.Keep}, nil
	case h.Link.State != symbolon.Linked || h.Link.User != made.User || h.Link.Source != symbolon.FromAdopt || !h.Link.At.Equal(made.At):
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: made.Identity, User: made.User, Reason: "the bond was made anew or ended since"}
	case target.Row == nil || target.Row.Identity != made.Identity:
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: made.Identity, User: made.User, Reason: "the application changed or deleted the user's row since"}
	}
	plan := symbolon.Plan{Action: symbolon.Detach, User: made.User, Clear: strings.Contains(why, columnWasSet), Why: AdoptMark(run) + "undone"}
	if _, reason, ok := strings.Cut(why, wasOnHold); ok {
		plan.Reason = symbolon.FindingKind(reason)
		plan.Findings = []symbolon.Finding{{Kind: plan.Reason, Identity: made.Identity,
			Detail: "on hold again, because its adoption was undone; bind settles it"}}
	}
	return plan, nil
}
