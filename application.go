package symbolon

import (
	"context"
	"errors"
	"fmt"
)

// Creator has the application make its own user, where Symbolon must not write the
// application's table or cannot reach it. *createurl.Client is one.
//
// Many goroutines may call it at once, and no transaction is open meanwhile.
type Creator interface {
	// Create returns the user that the application has for the identity, and makes it
	// where there is none. It is called again whenever an answer was lost, so that it
	// must give the same user each time.
	//
	// An error that matches [ErrCannotCreate] is the application's no: its text goes
	// into a finding, so that it must hold no secret and no trait. Any other error
	// means that nothing is known; it is handed on as [ErrUnavailable], and whatever
	// comes next asks again.
	Create(ctx context.Context, id Identity) (UserID, error)
}

// made is what the application answered in the course of one decision.
type made struct {
	user UserID
	no   error
}

func (m *made) known() bool { return m != nil && (m.user != "" || m.no != nil) }

// byApplication completes a plan that makes a user. Where the application makes its
// users itself it is asked first, and its answer is one more claim: it may name
// nobody who is somebody else's, and nobody who was deleted.
func byApplication(s Seen, h Held, p policy, plan Plan) (Plan, question) {
	if p.newID != ByApplication {
		return plan, question{}
	}
	if !p.made.known() {
		return Plan{}, question{create: true}
	}
	if p.made.no != nil {
		return notMade(s, h, CannotCreate, "", "the application makes no user: "+p.made.no.Error()), question{}
	}
	user, known := p.made.user, held(h, atMade)
	plan.User, plan.BackReference = user, backReference(s, user, p)
	switch owner := known.Owner(); {
	case owner != "" && owner != s.Identity.ID:
		return notMade(s, h, ClaimedByOther, user, fmt.Sprintf(
			"the application answered with user %s, who belongs to identity %s; bind settles it", user, owner)), question{}
	case known.Retired || user == plan.Retire:
		return notMade(s, h, CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who was deleted, and an ID is never given out again", user)), question{}
	case known.Row != nil: // whose former identity was given another one
		return notMade(s, h, CannotCreate, user, fmt.Sprintf(
			"the application answered with user %s, who is nobody's now but was somebody's; bind settles it", user)), question{}
	}
	return plan, question{}
}

// notMade denies a user for now: the next way in asks the application again.
func notMade(s Seen, h Held, kind FindingKind, user UserID, detail string) Plan {
	plan := Plan{Action: Hold, User: user, Reason: kind, Why: detail,
		Findings: []Finding{{Kind: kind, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &DenyError{Identity: s.Identity.ID, Finding: kind, Detail: detail, Err: ErrCannotCreate}}
	if h.Link != nil && h.Link.State != OnHold {
		plan.Action, plan.User = Deny, h.Link.User
	}
	return plan
}

// create asks the application, outside of every transaction.
func (l *Linker) create(ctx context.Context, id Identity, p policy) error {
	if l.Creator == nil {
		return errors.New("symbolon: the application makes its users itself, and Linker.Creator is not set")
	}
	user, err := l.Creator.Create(ctx, id)
	switch {
	case errors.Is(err, ErrCannotCreate):
		p.made.no = err
	case errors.Is(err, ErrUnavailable):
		return fmt.Errorf("ask the application for a user: %w", err)
	case err != nil:
		return fmt.Errorf("ask the application for a user: %w: %w", ErrUnavailable, err)
	case !plausible(string(user)):
		return fmt.Errorf("ask the application for a user: what it answered cannot be an ID: %w", ErrUnavailable)
	default:
		p.made.user = user
	}
	return nil
}
