package adopt

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Renewal is an identity whose user is lost or unknown, and which gets a new one.
type Renewal struct {
	Identity symbolon.IdentityID `json:"identity_id"`
	User     symbolon.UserID     `json:"user_id,omitempty"` // the user whose row is missing
	Reason   string              `json:"reason"`            // a kind of finding
}

// RenewReport is what Renew did, or would do.
type RenewReport struct {
	Found       map[string]int `json:"found"`        // identities that get a new user, by the reason
	Done        int            `json:"done"`         // of them, those that got one
	Refused     []Refusal      `json:"refused"`      // left unchanged, each with the reason
	NotEligible int            `json:"not_eligible"` // left unchanged, because Linker.When does not admit them
}

// Renew carries out the operator's order for a database that was made anew: each identity that
// is on hold, and each linked identity whose user's row is missing, gets a new user. Linker.When
// must admit the identity. An identity whose user the operator moved away stays on hold. Renew
// calls visit with every identity before it gets its user; visit may be nil. With dryRun nobody
// gets one. why is kept in the history; see link.CheckWhy. If a call ended early, call it again.
// Renew does not settle the start of the project: see link.Linker.StartFresh.
//
// Errors: symbolon.ErrNoAdmin, symbolon.ErrUnavailable, and that of visit. Refused identities
// are not an error.
func (a *Adopter) Renew(ctx context.Context, dryRun bool, why string, o Options, visit func(Renewal) error) (RenewReport, error) {
	r := &renewal{Adopter: a, dryRun: dryRun, why: why, visit: visit, meter: a.meter(o, Binding, 0), report: RenewReport{Found: map[string]int{}}}
	err := r.all(ctx)
	if err != nil {
		err = fmt.Errorf("renew: %w", err)
	}
	return r.report, err
}

// renewal is the state of one Renew.
type renewal struct {
	*Adopter
	dryRun bool
	why    string
	visit  func(Renewal) error
	meter  *meter
	report RenewReport
}

func (r *renewal) all(ctx context.Context) error {
	if !r.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	for after := symbolon.IdentityID(""); ; {
		entries, err := r.Ledger.Entries(ctx, r.project(), after, "", page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			after = e.Link.Identity
			if reason := lost(e); reason != "" {
				if err := r.one(ctx, Renewal{e.Link.Identity, e.Link.User, reason}); err != nil {
					return err
				}
			}
		}
		if len(entries) < page {
			return nil
		}
	}
}

// lost says why an entry needs a new user. It is empty if the entry needs none.
func lost(e symbolon.Entry) string {
	switch {
	case e.Link.State == symbolon.OnHold && e.Link.Reason != symbolon.Moved && e.Row == nil:
		return string(e.Link.Reason)
	case e.Link.State == symbolon.Linked && e.User == nil && e.Row == nil:
		return string(symbolon.UserGone)
	}
	return ""
}

// one gives one identity a new user. Only an outage is an error.
func (r *renewal) one(ctx context.Context, n Renewal) error {
	admitted, err := r.admits(ctx, n.Identity)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return r.refuse(n, notAtOry)
	case err != nil:
		return err
	case !admitted:
		r.report.NotEligible++
		return nil
	}
	r.report.Found[n.Reason]++
	if r.visit != nil {
		if err := r.visit(n); err != nil {
			return err
		}
	}
	if r.dryRun {
		return nil
	}
	_, err = paced(ctx, func(ctx context.Context) (symbolon.Link, error) { return r.Linker.BindNew(ctx, n.Identity, r.why) })
	conflict, isConflict := errors.AsType[*symbolon.ConflictError](err)
	denied, isDenial := errors.AsType[*symbolon.DenyError](err)
	switch {
	case err == nil:
		r.report.Done++
		r.meter.step(1)
	case isConflict:
		return r.refuse(n, conflict.Reason)
	case isDenial:
		return r.refuse(n, denied.Detail)
	case errors.Is(err, symbolon.ErrNotFound):
		return r.refuse(n, notAtOry)
	default:
		return err
	}
	return nil
}

// admits reports whether Linker.When admits the identity, by a reading from now.
func (r *renewal) admits(ctx context.Context, id symbolon.IdentityID) (bool, error) {
	if !r.Linker.When.Chooses() {
		return true, nil
	}
	identity, err := paced(ctx, func(ctx context.Context) (symbolon.Identity, error) { return r.Linker.Ory.Identity(ctx, id) })
	return err == nil && r.Linker.When.Admits(identity), err
}

func (r *renewal) refuse(n Renewal, why string) error {
	r.report.Refused = append(r.report.Refused, Refusal{n.Identity, n.User, why})
	return nil
}
