package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Bind binds an identity to an existing user: the operator's word, above all
// evidence. It settles whatever was held. The user's row must exist, unless the
// application makes its users itself; and with an admin URL the identity must exist
// at Ory.
//
// Errors: *ConflictError where a bond of a living identity stands in the way,
// ErrNotFound where either half does not exist, ErrUnavailable.
func (l *Linker) Bind(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, o symbolon.BindOptions) (symbolon.Link, error) {
	l.setup()
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromOperator}
	if l.Ory.HasAdmin() {
		var err error
		if seen, err = l.read(ctx, id, symbolon.FromOperator); err != nil {
			return symbolon.Link{}, fmt.Errorf("bind: %w", err)
		}
	}
	p := l.policy()
	q := symbolon.Query{Project: l.project(), Reading: seen, Claims: []symbolon.UserID{user}}
	for range rounds {
		var asked decide.Question
		out, err := l.carryOut(ctx, q, func(h symbolon.Evidence) (symbolon.Plan, error) {
			var plan symbolon.Plan
			var err error
			if plan, asked, err = decide.Bind(seen, h, user, o, p); err == nil && !asked.None() {
				err = errAsk
			}
			return plan, err
		})
		if !errors.Is(err, errAsk) {
			return l.finish(ctx, seen, out, err)
		}
		if seen, err = l.learn(ctx, seen, asked, p); err != nil {
			return symbolon.Link{}, fmt.Errorf("bind: %w", err)
		}
	}
	return symbolon.Link{}, fmt.Errorf("bind identity %s: the bonds keep changing: %w", id, symbolon.ErrUnavailable)
}
