package erase

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Plan describes an erasure before it is begun.
type Plan struct {
	Identity symbolon.IdentityID // empty: the user has none
	User     symbolon.UserID     // empty: the identity has none
	State    symbolon.LinkState  // of the link; empty: the ledger has no entry

	// AtOry is "exists", "gone" (Kratos' own 404) or "unavailable".
	AtOry string

	// Further are the user's further identities. They are erased too.
	Further []symbolon.IdentityID

	// Row is the policy for the user's row. Exists says whether there is a row. Columns are
	// the columns that anonymising would empty. Application says that the row belongs to
	// the application, and that Symbolon does not change it.
	Row         symbolon.RowPolicy
	Exists      bool
	Columns     []string
	Application bool

	// Behind are the rows that earlier moves of the identity left without an identity. They
	// are erased too.
	Behind []LeftBehind

	// Former is set if the user has no identity: the identity that had the user last, by
	// the history. It is not erased, because the operator may have moved it to another user.
	Former symbolon.IdentityID

	// Earlier is an erasure that is under way, or that is done and after which nothing of
	// the person is left; nil: there is none.
	Earlier *symbolon.Erasure
}

// Plan describes what Begin and Finish would do. It changes nothing. Errors as for Begin.
func (e *Erasures) Plan(ctx context.Context, r Request) (Plan, error) {
	r, err := e.check(r)
	if err != nil {
		return Plan{}, err
	}
	p, err := e.find(ctx, r.ID)
	if err != nil {
		return Plan{}, fmt.Errorf("erase: %w", err)
	}
	out := Plan{Identity: p.identity, User: p.user, State: p.state, Further: p.further, Row: r.Row, Application: e.application()}
	if p.identity != "" {
		out.AtOry = e.atOry(ctx, p.identity)
	}
	if p.user != "" {
		if out.Exists, out.Columns, err = e.Users.LeftInRow(ctx, p.user, p.identity); err != nil {
			return Plan{}, fmt.Errorf("erase: %w", err)
		}
	}
	for _, id := range identities(p.identity, p.further) {
		behind, err := e.leftBehind(ctx, id, p.user, r.Row)
		if err != nil {
			return Plan{}, err
		}
		out.Behind = append(out.Behind, behind...)
	}
	if out.Former, err = e.former(ctx, p.identity, p.user); err != nil {
		return Plan{}, err
	}
	last, err := e.last(ctx, p, r.Row)
	if err == nil && last.ID != "" {
		out.Earlier = &last
	}
	return out, err
}

func (e *Erasures) atOry(ctx context.Context, id symbolon.IdentityID) string {
	switch _, err := e.Linker.Ory.Identity(ctx, id); {
	case err == nil:
		return "exists"
	case errors.Is(err, symbolon.ErrNotFound):
		return "gone"
	}
	return "unavailable"
}
