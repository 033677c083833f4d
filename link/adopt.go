package link

import (
	"context"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Says returns the user that the identity itself names in the place that by means:
// metadata, external_id, or a voucher, which counts only with a good proof. Empty: it
// names none there.
func (l *Linker) ClaimOf(id symbolon.Identity, by symbolon.Proof) symbolon.UserID {
	l.setup()
	return decide.ClaimOf(id, by, l.minter)
}

// Adopt binds an identity to an existing user as a plan says, if what the plan relied
// on is still so: the identity is read again at Ory, and both halves are unbound. Of
// the user's row nothing is written but the identity column. made is false where the
// two are bound already. What "column:NAME" holds only the caller can see.
//
// Errors: *ConflictError says which fact has changed; ErrNotFound: either half does
// not exist any more; ErrUnavailable; ErrNoAdmin.
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
		return symbolon.Link{}, false, fmt.Errorf("adopt: read identity %s at Ory: %w", a.Identity, err)
	}
	p, says := l.policy(), l.ClaimOf(id, a.By)
	q := symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: id, Source: symbolon.FromAdopt, Admin: true}, Claims: []symbolon.UserID{a.User}}
	if a.By == symbolon.ByVerifiedEmail {
		q.Emails = id.Emails()
	}
	out, err := l.carryOut(symbolon.WithReading(ctx, q.Reading), q, func(h symbolon.Evidence) (symbolon.Plan, error) { return decide.Adopt(q.Reading, h, a, says, p) })
	link, err = l.finish(ctx, q.Reading, out, err)
	return link, out.New, err
}

func validRun(run string) bool {
	odd := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	return run != "" && len(run) <= 64 && !strings.ContainsFunc(run, odd)
}

// Unadopt undoes one bond that [Linker.Adopt] made in a run, of which made is the
// event: the row's identity column is null again if the run set it, and the ledger is
// as it was. What OnLink wrote stays. Undoing it again does nothing.
//
// Errors: *ConflictError where the bond was touched since, by anybody; ErrUnavailable.
// Whether the person signed in since is the caller's to ask.
func (l *Linker) Unadopt(ctx context.Context, run string, made symbolon.Event) (undone bool, err error) {
	l.setup()
	q := symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: made.Identity}, Source: symbolon.FromAdopt}, Claims: []symbolon.UserID{made.User}}
	out, err := l.carryOut(ctx, q, func(h symbolon.Evidence) (symbolon.Plan, error) { return decide.Unadopt(h, run, made) })
	_, err = l.finish(ctx, q.Reading, out, err)
	return err == nil && out.Plan.Action == symbolon.Detach, err
}
