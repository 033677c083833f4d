package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Answer is the application's answer to the question for its user.
type Answer struct {
	User   symbolon.UserID
	Denial error // why the application makes no user; nil: it did not refuse
}

// Known reports whether the application has answered.
func (a *Answer) Known() bool { return a != nil && (a.User != "" || a.Denial != nil) }

// create completes a plan that makes a user. An application that makes its users itself is
// asked first. Its answer is treated as one more claim: it must not name a user that
// belongs to somebody else or that was deleted.
func create(r symbolon.Reading, e symbolon.Evidence, p Policy, plan symbolon.Plan) (symbolon.Plan, Question) {
	plan.Action = symbolon.Create
	if p.NewID != symbolon.ByApplication {
		return decided(plan)
	}
	if !p.Answer.Known() {
		return ask(Question{Create: true})
	}
	if p.Answer.Denial != nil {
		return decided(notMade(r, e, symbolon.CannotCreate, "", "the application makes no user: "+p.Answer.Denial.Error()))
	}
	user, known := p.Answer.User, claimedAt(e, atAnswer)
	plan.User, plan.BackReference = user, backReference(r, user, p)
	switch owner := known.Owner(); {
	case owner != "" && owner != r.Identity.ID:
		return decided(notMade(r, e, symbolon.ClaimedByOther, user, fmt.Sprintf(
			"the application answered with user %s, who belongs to identity %s; decide with symbolon bind", user, owner)))
	case known.Retired || user == plan.Retire:
		return decided(notMade(r, e, symbolon.CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who was deleted, and an ID is never given out again", user)))
	case known.Row != nil: // its former identity got another user
		return decided(notMade(r, e, symbolon.CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who belonged to another identity before; decide with symbolon bind", user)))
	}
	return decided(plan)
}

// notMade denies the identity a user for now. The next reading asks the application again.
func notMade(r symbolon.Reading, e symbolon.Evidence, kind symbolon.FindingKind, user symbolon.UserID, detail string) symbolon.Plan {
	plan := symbolon.Plan{Action: symbolon.Hold, User: user, Reason: kind, Why: detail,
		Findings: []symbolon.Finding{finding(r, kind, user, detail)}, Err: denial(r, kind, symbolon.ErrCannotCreate, detail)}
	if e.Link != nil && e.Link.State != symbolon.OnHold {
		plan.Action, plan.User = symbolon.Deny, e.Link.User
	}
	return plan
}
