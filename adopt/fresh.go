package adopt

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// FreshReport is what StartFresh did, or would do.
type FreshReport struct {
	Found   map[string]int `json:"found"`   // identities that get a new user, by the reason: a kind of finding, or user_gone
	Done    int            `json:"done"`    // of them, those that got one
	Refused []Refusal      `json:"refused"` // left unchanged, each with the reason
	Settled bool           `json:"settled"` // the start of the project is settled now
}

// StartFresh carries out the operator's order that nobody has a user from before: it gives a
// new user to each identity that is on hold, and to each linked identity whose user's row is
// missing, and settles the start of the project. An identity whose user the operator moved
// away stays on hold. With dryRun it only counts. why is kept in the history; see
// link.CheckWhy. If a call ended early, call it again.
//
// Errors: symbolon.ErrNoAdmin, symbolon.ErrUnavailable. Refused identities are not an error.
func (a *Adopter) StartFresh(ctx context.Context, dryRun bool, why string, o Options) (FreshReport, error) {
	report := FreshReport{Found: map[string]int{}}
	if !a.Linker.Ory.HasAdmin() {
		return report, fmt.Errorf("start fresh: %w", symbolon.ErrNoAdmin)
	}
	m := a.meter(o, Binding, 0)
	for after := symbolon.IdentityID(""); ; {
		entries, err := a.Ledger.Entries(ctx, a.project(), after, "", page)
		if err != nil {
			return report, fmt.Errorf("start fresh: %w", err)
		}
		for _, e := range entries {
			after = e.Link.Identity
			reason := needsFresh(e)
			if reason == "" {
				continue
			}
			report.Found[reason]++
			if dryRun {
				continue
			}
			if err := a.renew(ctx, e, why, &report); err != nil {
				return report, fmt.Errorf("start fresh: %w", err)
			}
			m.step(1)
		}
		if len(entries) < page {
			break
		}
	}
	if dryRun {
		return report, nil
	}
	err := a.Linker.StartFresh(ctx)
	report.Settled = err == nil
	return report, err
}

// needsFresh says why an entry needs a new user. It is empty if the entry needs none.
func needsFresh(e symbolon.Entry) string {
	switch {
	case e.Link.State == symbolon.OnHold && e.Link.Reason != symbolon.Moved && e.Row == nil:
		return string(e.Link.Reason)
	case e.Link.State == symbolon.Linked && e.User == nil && e.Row == nil:
		return string(symbolon.UserGone)
	}
	return ""
}

// renew gives one identity a new user. Only an outage is an error.
func (a *Adopter) renew(ctx context.Context, e symbolon.Entry, why string, report *FreshReport) error {
	id := e.Link.Identity
	_, err := paced(ctx, func(ctx context.Context) (symbolon.Link, error) { return a.Linker.BindNew(ctx, id, why) })
	conflict, isConflict := errors.AsType[*symbolon.ConflictError](err)
	denied, isDenial := errors.AsType[*symbolon.DenyError](err)
	refuse := func(why string) { report.Refused = append(report.Refused, Refusal{id, e.Link.User, why}) }
	switch {
	case err == nil:
		report.Done++
	case isConflict:
		refuse(conflict.Reason)
	case isDenial:
		refuse(denied.Detail)
	case errors.Is(err, symbolon.ErrNotFound):
		refuse(notAtOry)
	default:
		return err
	}
	return nil
}
