package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// made is what the application answered in the course of one decision.
type Answer struct {
	User   symbolon.UserID
	Denial error
}

func (m *Answer) Known() bool { return m != nil && (m.User != "" || m.Denial != nil) }

// byApplication completes a plan that makes a user. Where the application makes its
// users itself it is asked first, and its answer is one more claim: it may name
// nobody who is somebody else's, and nobody who was deleted.
func byApplication(s symbolon.Reading, h symbolon.Evidence, p Policy, plan symbolon.Plan) (symbolon.Plan, Question) {
	if p.NewID != symbolon.ByApplication {
		return plan, Question{}
	}
	if !p.Answer.Known() {
		return symbolon.Plan{}, Question{Create: true}
	}
	if p.Answer.Denial != nil {
		return notMade(s, h, symbolon.CannotCreate, "", "the application makes no user: "+p.Answer.Denial.Error()), Question{}
	}
	user, known := p.Answer.User, claimedAt(h, atMade)
	plan.User, plan.BackReference = user, backReference(s, user, p)
	switch owner := known.Owner(); {
	case owner != "" && owner != s.Identity.ID:
		return notMade(s, h, symbolon.ClaimedByOther, user, fmt.Sprintf(
			"the application answered with user %s, who belongs to identity %s; bind settles it", user, owner)), Question{}
	case known.Retired || user == plan.Retire:
		return notMade(s, h, symbolon.CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who was deleted, and an ID is never given out again", user)), Question{}
	case known.Row != nil: // whose former identity was given another one
		return notMade(s, h, symbolon.CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who is nobody's now but was somebody's; bind settles it", user)), Question{}
	}
	return plan, Question{}
}

// notMade denies a user for now: the next way in asks the application again.
func notMade(s symbolon.Reading, h symbolon.Evidence, kind symbolon.FindingKind, user symbolon.UserID, detail string) symbolon.Plan {
	plan := symbolon.Plan{Action: symbolon.Hold, User: user, Reason: kind, Why: detail,
		Findings: []symbolon.Finding{{Kind: kind, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: s.Identity.ID, Finding: kind, Detail: detail, Err: symbolon.ErrCannotCreate}}
	if h.Link != nil && h.Link.State != symbolon.OnHold {
		plan.Action, plan.User = symbolon.Deny, h.Link.User
	}
	return plan
}
