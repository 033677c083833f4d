package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Bind links an identity to an existing user. The operator's order outweighs all evidence.
// It also ends a hold. The user's row must exist, unless the application makes its users
// itself. With an admin URL the identity must exist at Ory.
//
// Errors: *ConflictError if an existing bond prevents the new one (see
// [symbolon.BindOptions]), if the user's ID is retired, or if the identity's person was
// erased; ErrNotFound if the identity or the user does not exist; ErrWhy if the reason cannot
// be kept; ErrUnavailable.
func (l *Linker) Bind(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, o symbolon.BindOptions) (symbolon.Link, error) {
	l.setup()
	if err := CheckWhy(o.Why); err != nil {
		return symbolon.Link{}, fmt.Errorf("bind: %w", err)
	}
	if o.Also {
		return l.bindAlso(ctx, id, user, o)
	}
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromOperator}
	if l.Ory.HasAdmin() {
		var err error
		if r, err = l.read(ctx, id, symbolon.FromOperator); err != nil {
			return symbolon.Link{}, l.unbindable(ctx, id, user, fmt.Errorf("bind: %w", err))
		}
	}
	p := l.policy()
	return l.order(ctx, r, p, func() []symbolon.UserID { return []symbolon.UserID{user} }, func(r symbolon.Reading, e symbolon.Evidence) (symbolon.Plan, decide.Question, error) {
		return decide.Bind(r, e, user, o, p)
	})
}

// BindNew gives an identity a new user. The operator's order outweighs all evidence, and ends
// a hold. It also replaces a user whose row is missing. With an admin URL the identity must
// exist at Ory. why is kept, as in [symbolon.BindOptions].
//
// Errors: *ConflictError if the identity has a user, or if its person was erased; a *DenyError
// if the table refuses the row; ErrNotFound if the identity does not exist; ErrWhy;
// ErrUnavailable.
func (l *Linker) BindNew(ctx context.Context, id symbolon.IdentityID, why string) (symbolon.Link, error) {
	l.setup()
	if err := CheckWhy(why); err != nil {
		return symbolon.Link{}, fmt.Errorf("bind: %w", err)
	}
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id, State: symbolon.Active}, Source: symbolon.FromOperator}
	if l.Ory.HasAdmin() {
		var err error
		if r, err = l.read(ctx, id, symbolon.FromOperator); err != nil {
			return symbolon.Link{}, l.unbindable(ctx, id, "", fmt.Errorf("bind: %w", err))
		}
	}
	p := l.policy()
	claims := func() []symbolon.UserID { return decide.ClaimedUsers(r.Identity, p) }
	return l.order(ctx, r, p, claims, func(r symbolon.Reading, e symbolon.Evidence) (symbolon.Plan, decide.Question, error) {
		return decide.BindNew(r, e, why, p)
	})
}

// order carries out an operator's order. The store is asked about the users that the function
// claims lists.
func (l *Linker) order(ctx context.Context, r symbolon.Reading, p decide.Policy, claims func() []symbolon.UserID,
	decision func(symbolon.Reading, symbolon.Evidence) (symbolon.Plan, decide.Question, error)) (symbolon.Link, error) {
	for range maxRounds {
		q := symbolon.Query{Project: l.project(), Reading: r, Claims: claims()}
		out, question, err := l.write(symbolon.WithReading(ctx, r), q, func(e symbolon.Evidence) (symbolon.Plan, decide.Question, error) {
			return decision(r, e)
		})
		if question.None() {
			return l.finish(ctx, r, out, err)
		}
		if r, err = l.ask(ctx, r, question, p); err != nil {
			return symbolon.Link{}, fmt.Errorf("bind: %w", err)
		}
	}
	return symbolon.Link{}, fmt.Errorf("bind identity %s: the bonds keep changing: %w", r.Identity.ID, symbolon.ErrUnavailable)
}

// unbindable returns the reason why an identity that could not be read cannot be bound. Ory no
// longer has the identity of an erased person, and the ledger knows why.
func (l *Linker) unbindable(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, err error) error {
	if !errors.Is(err, symbolon.ErrNotFound) {
		return err
	}
	rec, unknown := l.Store.Record(ctx, l.project(), string(id))
	if unknown == nil && rec.Link != nil && rec.Link.Identity == id && rec.Link.State == symbolon.Erased {
		return decide.ConflictErased(id, user)
	}
	return err
}
