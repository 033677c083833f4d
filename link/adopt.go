package link

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// ClaimOf returns the user ID that an identity holds at the place that the proof names
// (metadata_public, external_id or the voucher). It returns "" if no ID is there, or if the
// voucher is not valid.
func (l *Linker) ClaimOf(id symbolon.Identity, by symbolon.Proof) symbolon.UserID {
	l.setup()
	return decide.ClaimOf(id, by, l.minter)
}

// Adopt links an identity to an existing user, as one line of an operator's plan says. It
// reads the identity at Ory again and refuses the line if the proof no longer holds or
// either half has been linked meanwhile. It writes only the identity column of the user's
// row. made is false if the two are linked already. If the proof is a column
// (column:NAME), the caller checks it, because the engine does not read that column.
//
// Errors: *ConflictError says which fact has changed; ErrNotFound if the identity or the
// user no longer exists; ErrUnavailable; ErrNoAdmin.
func (l *Linker) Adopt(ctx context.Context, a symbolon.Adoption) (link symbolon.Link, made bool, err error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, false, symbolon.ErrNoAdmin
	}
	if !validRun(a.Run) {
		return symbolon.Link{}, false, fmt.Errorf("adopt: %.64q cannot name a run", a.Run)
	}
	id, err := l.Ory.Identity(ctx, a.Identity)
	if err != nil {
		return symbolon.Link{}, false, fmt.Errorf("adopt: %w", err)
	}
	p, claim := l.policy(), l.ClaimOf(id, a.By)
	q := symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: id, Source: symbolon.FromAdopt, Admin: true}, Claims: []symbolon.UserID{a.User}}
	if a.By == symbolon.ByVerifiedEmail {
		q.Emails = id.Emails()
	}
	out, err := l.apply(symbolon.WithReading(ctx, q.Reading), q, func(e symbolon.Evidence) (symbolon.Plan, error) { return decide.Adopt(q.Reading, e, a, claim, p) })
	link, err = l.finish(ctx, q.Reading, out, err)
	return link, out.New, err
}

func validRun(run string) bool {
	odd := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	return run != "" && len(run) <= 64 && !strings.ContainsFunc(run, odd)
}

// Unadopt undoes one bond that [Linker.Adopt] made in a run; made is the event that
// recorded the bond. Unadopt empties the row's identity column if the run filled it, and
// restores the ledger's entry. It does not undo what OnLink wrote. It is idempotent. The
// caller checks whether the person has signed in since.
//
// Errors: *ConflictError if the bond has changed since; ErrUnavailable.
func (l *Linker) Unadopt(ctx context.Context, run string, made symbolon.Event) (undone bool, err error) {
	l.setup()
	q := symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: made.Identity}, Source: symbolon.FromAdopt}, Claims: []symbolon.UserID{made.User}}
	out, err := l.apply(ctx, q, func(e symbolon.Evidence) (symbolon.Plan, error) { return decide.Unadopt(e, run, made) })
	_, err = l.finish(ctx, q.Reading, out, err)
	return err == nil && out.Plan.Action == symbolon.Detach, err
}

// HoldAmbiguous puts an identity on hold for which the run of an adoption found no certain
// user: its user is then a decision of the operator, also after the start is settled. user is
// the user that the evidence names, or empty. why is one sentence without traits. An identity
// that has a user, or had one, is left as it is.
//
// Errors: ErrUnavailable.
func (l *Linker) HoldAmbiguous(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, run, why string) (held bool, err error) {
	l.setup()
	if !validRun(run) {
		return false, fmt.Errorf("hold: %.64q cannot name a run", run)
	}
	q := symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromAdopt}}
	out, err := l.apply(ctx, q, func(e symbolon.Evidence) (symbolon.Plan, error) {
		return decide.HoldAmbiguous(q.Reading, e, user, run, why), nil
	})
	if _, err = l.finish(ctx, q.Reading, out, err); errors.Is(err, symbolon.ErrOnHold) {
		return true, nil
	}
	return false, err
}
