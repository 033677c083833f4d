package erase

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// LeftBehind is the row of a user that no identity has now, because the identity that had
// the user was moved to another user.
type LeftBehind struct {
	User    symbolon.UserID
	Columns []string // the columns that anonymising would empty
}

// LeftBehind returns rows of former users of an identity. When an operator moves an
// identity to another user, the row of the former user has no identity. The row is returned
// if anonymising it still has something to do. The parameter user is the identity's present
// user, or empty.
func (e *Erasures) LeftBehind(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) ([]LeftBehind, error) {
	return e.leftBehind(ctx, identity, user, symbolon.AnonymiseRow)
}

// leftBehind returns the rows of the identity's former users to which the policy must still
// be applied.
func (e *Erasures) leftBehind(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID, policy symbolon.RowPolicy) (rows []LeftBehind, err error) {
	former, err := e.formerUsers(ctx, identity, user)
	if err != nil {
		return nil, err
	}
	for _, id := range former {
		todo, row, err := e.toErase(ctx, id, policy)
		if err != nil {
			return nil, err
		}
		if todo {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// toErase reports whether the row of a former user exists and the policy must still be
// applied to the row. It also returns the row.
func (e *Erasures) toErase(ctx context.Context, user symbolon.UserID, policy symbolon.RowPolicy) (bool, LeftBehind, error) {
	exists, columns, err := e.Users.LeftInRow(ctx, user, "")
	if err != nil || !exists {
		return false, LeftBehind{}, err
	}
	c, err := e.Users.User(ctx, e.project(), user)
	todo := !c.Retired || len(columns) > 0 || policy == symbolon.DeleteRow
	return todo, LeftBehind{User: user, Columns: columns}, err
}

func (e *Erasures) formerUsers(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) ([]symbolon.UserID, error) {
	if identity == "" {
		return nil, nil
	}
	former, err := e.Users.FormerUsers(ctx, e.project(), identity, user)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	return former, nil
}

// eraseBehind erases the rows of the identity's former users. The evidence names all of
// these users, also those that an interrupted attempt erased.
func (e *Erasures) eraseBehind(ctx context.Context, erasure *symbolon.Erasure, policy symbolon.RowPolicy) (string, error) {
	former, err := e.allFormer(ctx, erasure)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, user := range former {
		todo, _, err := e.toErase(ctx, user, policy)
		if err == nil && todo {
			err = e.eraseUser(ctx, user, "", policy, reason(erasure))
		}
		if err != nil {
			return "", fmt.Errorf("user %s, whom a move left without an identity: %w", user, err)
		}
		exists, _, err := e.Users.LeftInRow(ctx, user, "")
		if err != nil {
			return "", err
		}
		fate := "there is no row"
		if exists {
			fate = "the row is anonymised, and the columns are empty"
		}
		fmt.Fprintf(&b, "; user %s, whom a move left without an identity, read back: %s", user, fate)
	}
	return b.String(), nil
}

// scrub clears Symbolon's records about the person, also under the IDs of former users.
func (e *Erasures) scrub(ctx context.Context, erasure *symbolon.Erasure) (map[string]int, error) {
	former, err := e.allFormer(ctx, erasure)
	if err != nil {
		return nil, err
	}
	further, err := e.further(ctx, erasure)
	if err != nil {
		return nil, err
	}
	counts, err := e.Users.Scrub(ctx, e.project(), erasure.Identity, slices.Concat([]symbolon.UserID{erasure.User}, former)...)
	for _, id := range further {
		if err != nil {
			return nil, err
		}
		var more map[string]int
		more, err = e.Users.Scrub(ctx, e.project(), id)
		for name, n := range more {
			counts[name] += n
		}
	}
	return counts, err
}

// allFormer returns the former users of all identities of the person.
func (e *Erasures) allFormer(ctx context.Context, erasure *symbolon.Erasure) (former []symbolon.UserID, err error) {
	further, err := e.further(ctx, erasure)
	if err != nil {
		return nil, err
	}
	for _, id := range identities(erasure.Identity, further) {
		some, err := e.formerUsers(ctx, id, erasure.User)
		if err != nil {
			return nil, err
		}
		for _, user := range some {
			if !slices.Contains(former, user) {
				former = append(former, user)
			}
		}
	}
	return former, nil
}

// former returns the identity that had a user last. It returns "" in three cases: the user has
// an identity now (the parameter identity); no identity ever had the user; the ledger has no
// entry of the last identity, or the entry is erased or gone.
func (e *Erasures) former(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.IdentityID, error) {
	if identity != "" || user == "" {
		return "", nil
	}
	last, err := e.Users.LastIdentity(ctx, e.project(), user)
	if err != nil || last == "" {
		return "", err
	}
	rec, err := e.Linker.Record(ctx, string(last))
	if err != nil || rec.Link == nil || rec.Link.State == symbolon.Erased || rec.Link.State == symbolon.Gone {
		return "", err
	}
	return last, nil
}
