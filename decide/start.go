package decide

import (
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
)

// ClockTolerance is how far the clocks of Ory and of the database may differ.
const ClockTolerance = 30 * time.Second

// byStart keeps an identity that is older than the ledger from getting a new user until the
// start of the project is settled, because the identity may belong to a user that existed
// before. Nothing is recorded about the identity.
func byStart(r symbolon.Reading, p Policy) (plan symbolon.Plan, asked Question, ok bool) {
	switch {
	case p.Start == nil:
		return plan, asked, false
	case p.Start.CreatedAt.IsZero():
		return plan, Question{Start: true}, true
	case p.Start.Settled(), Younger(r, p.Start.CreatedAt):
		return plan, asked, false
	}
	detail := fmt.Sprintf("the identity is older than the ledger (%s), and the start is not settled; `symbolon adopt` says which user it has",
		p.Start.CreatedAt.UTC().Format(time.DateTime))
	return symbolon.Plan{Action: symbolon.Wait, Reason: symbolon.NotAdopted, Why: detail,
		Err: denial(r, symbolon.NotAdopted, symbolon.ErrOnHold, detail)}, asked, true
}

// Younger reports whether the identity is certainly younger than the ledger. An identity
// without a time of creation is not. Ory calls the link hook when an identity is new, and the
// ledger is older than the hook's answer. So the hook's identity is younger unless its time
// proves the opposite.
func Younger(r symbolon.Reading, ledger time.Time) bool {
	created := r.Identity.CreatedAt
	if created.IsZero() {
		return false
	}
	if r.Source == symbolon.FromLinkHook {
		return created.After(ledger.Add(-ClockTolerance))
	}
	return created.After(ledger.Add(ClockTolerance))
}

// heldAsAmbiguous reports whether an adoption put the identity on hold.
func heldAsAmbiguous(e symbolon.Evidence) bool {
	return e.Link != nil && e.Link.State == symbolon.OnHold && e.Link.Reason == symbolon.AdoptAmbiguous
}

func ambiguous(r symbolon.Reading, user symbolon.UserID, detail string) symbolon.Plan {
	return hold(r, symbolon.AdoptAmbiguous, detail, finding(r, symbolon.AdoptAmbiguous, user, detail))
}

// HoldAmbiguous puts an identity on hold that an adoption could not settle. user is the user
// that the evidence names, or empty. An identity that has a user or had one is left as it
// is. So is one that is on hold already, unless the hold ends by itself (CannotCreate).
func HoldAmbiguous(r symbolon.Reading, e symbolon.Evidence, user symbolon.UserID, run, why string) symbolon.Plan {
	waits := e.Link == nil || e.Link.State == symbolon.OnHold && e.Link.Reason == symbolon.CannotCreate
	if !waits || e.Row != nil {
		return symbolon.Plan{Action: symbolon.Keep}
	}
	plan := ambiguous(r, user, why+"; decide with symbolon bind")
	plan.Run = run
	return plan
}
