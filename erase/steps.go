package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// do does the next step. It may fill in the user of the erasure. After an error the outcome
// has no meaning.
func (e *Erasures) do(ctx context.Context, erasure *symbolon.Erasure) (symbolon.ErasureNote, error) {
	if erasure.Step == StepScrub {
		counts, err := e.scrub(ctx, erasure)
		return symbolon.ErasureNote{Outcome: "texts (the details of events and findings), digests and back-references in Symbolon's own tables are cleared; kinds, times and IDs stay", Counts: counts}, err
	}
	do, known := map[symbolon.ErasureStep]func(context.Context, *symbolon.Erasure) (outcome string, err error){
		StepDeny:     e.deny,
		StepSessions: e.revokeSessions,
		StepIdentity: e.deleteIdentity,
		StepRow:      e.eraseRow,
	}[erasure.Step]
	if !known {
		return symbolon.ErasureNote{}, fmt.Errorf("there is no step %q", erasure.Step)
	}
	outcome, err := do(ctx, erasure)
	return symbolon.ErasureNote{Outcome: outcome}, err
}

func (e *Erasures) deny(ctx context.Context, erasure *symbolon.Erasure) (string, error) {
	if erasure.Identity == "" {
		if n, err := e.denyFurther(ctx, erasure); err != nil || n > 0 {
			return fmt.Sprintf("the user's ID is retired; its %d further identities are denied", n), err
		}
		_, err := e.Users.EraseUser(ctx, e.project(), erasure.User, "", "", reason(erasure))
		return "the user's ID is retired; the user has no identity that could sign in", err
	}
	link, err := e.Linker.Erase(ctx, erasure.Identity, "", reason(erasure))
	if err != nil {
		return "", err
	}
	if erasure.User == "" && link.User != "" {
		c, err := e.Users.User(ctx, e.project(), link.User)
		if err != nil {
			return "", err
		}
		if ownedOnlyBy(c, erasure.Identity) {
			erasure.User = link.User // the identity was linked meanwhile
		}
	}
	if erasure.User == "" {
		return "the identity is denied; it has no user", nil
	}
	outcome := "the identity is denied, and the user's ID is retired"
	n, err := e.denyFurther(ctx, erasure)
	if n > 0 {
		outcome += fmt.Sprintf("; its %d further identities are denied", n)
	}
	return outcome, err
}

// denyFurther denies the further identities of the user.
func (e *Erasures) denyFurther(ctx context.Context, erasure *symbolon.Erasure) (n int, err error) {
	further, err := e.further(ctx, erasure)
	for _, id := range further {
		if err == nil {
			_, err = e.Linker.Erase(ctx, id, "", reason(erasure))
			n++
		}
	}
	return n, err
}

// reason returns the operator's reason, or "" if link.CheckWhy refuses it. An older version,
// which had no such check, may have recorded the reason, and the step would fail for ever.
func reason(erasure *symbolon.Erasure) string {
	if link.CheckWhy(erasure.Why) != nil {
		return ""
	}
	return erasure.Why
}

const noIdentity = "nothing to do: the user has no identity"

func (e *Erasures) revokeSessions(ctx context.Context, erasure *symbolon.Erasure) (string, error) {
	return e.ofEach(ctx, erasure, func(id symbolon.IdentityID) (string, error) {
		switch _, err := e.Linker.Ory.Identity(ctx, id); {
		case errors.Is(err, symbolon.ErrNotFound):
			return "Ory has no such identity, so it has no sessions", e.rightOry(ctx)
		case err != nil:
			return "", err
		}
		return "Ory has the identity and revoked its sessions", e.Ory.RevokeSessions(ctx, id)
	}, func() (string, error) { return noIdentity, nil })
}

// ofEach does a step for each identity of the person. The outcome names each further one.
func (e *Erasures) ofEach(ctx context.Context, erasure *symbolon.Erasure, do func(symbolon.IdentityID) (string, error), none func() (string, error)) (outcome string, err error) {
	further, err := e.further(ctx, erasure)
	if err != nil {
		return "", err
	}
	for _, id := range identities(erasure.Identity, further) {
		one, err := do(id)
		if err != nil {
			return "", err
		}
		switch {
		case id == erasure.Identity:
			outcome = one
		case outcome == "":
			outcome = fmt.Sprintf("identity %s: %s", id, one)
		default:
			outcome += fmt.Sprintf("; identity %s: %s", id, one)
		}
	}
	if outcome == "" {
		return none()
	}
	return outcome, nil
}

// controls is how many linked identities rightOry looks for.
const controls = 10

// rightOry checks that Ory has at least one of the linked identities. The Ory of another
// project, or an Ory that lost its data, answers 404 for every identity.
func (e *Erasures) rightOry(ctx context.Context) error {
	ids, err := e.Users.SomeLinked(ctx, e.project(), controls)
	if err != nil || len(ids) == 0 {
		return err
	}
	for _, id := range ids {
		_, err := e.Linker.Ory.Identity(ctx, id)
		if err == nil {
			return nil
		}
		if !errors.Is(err, symbolon.ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("Ory has none of %d identities that are linked to users: is it the right project? %w", len(ids), symbolon.ErrUnavailable) //nolint:revive,staticcheck // a name
}

func (e *Erasures) deleteIdentity(ctx context.Context, erasure *symbolon.Erasure) (string, error) {
	return e.ofEach(ctx, erasure, func(id symbolon.IdentityID) (string, error) { return e.deleteOne(ctx, id) },
		func() (string, error) { return e.nothingAtOry(ctx, erasure) })
}

// deleteOne deletes an identity at Ory, and reads it to see that it is gone.
func (e *Erasures) deleteOne(ctx context.Context, id symbolon.IdentityID) (string, error) {
	outcome := "Ory deleted the identity; read back: it is gone"
	switch err := e.Ory.DeleteIdentity(ctx, id); {
	case errors.Is(err, symbolon.ErrNotFound):
		outcome = "Ory no longer had the identity, perhaps because an earlier attempt without an answer deleted it; read back: it is gone"
	case err != nil:
		return "", err
	}
	switch _, err := e.Linker.Ory.Identity(ctx, id); {
	case err == nil:
		return "", fmt.Errorf("read back: Ory still has the identity: %w", symbolon.ErrUnavailable)
	case !errors.Is(err, symbolon.ErrNotFound):
		return "", fmt.Errorf("read back: %w", err)
	}
	return outcome, nil
}

// nothingAtOry names the identity that had the user last, because the person of that
// identity is not erased.
func (e *Erasures) nothingAtOry(ctx context.Context, erasure *symbolon.Erasure) (string, error) {
	last, err := e.former(ctx, erasure.Identity, erasure.User)
	if err != nil || last == "" {
		return noIdentity, err
	}
	return fmt.Sprintf("%s; identity %s had the user last, and this erasure does not include it", noIdentity, last), nil
}

// eraseRow erases the user's row, and the rows that earlier moves of the identity left
// behind.
func (e *Erasures) eraseRow(ctx context.Context, erasure *symbolon.Erasure) (string, error) {
	policy := erasure.Row
	if e.application() {
		policy = symbolon.DeleteRow
	}
	outcome, err := e.eraseOwnRow(ctx, erasure, policy)
	if err != nil {
		return "", err
	}
	behind, err := e.eraseBehind(ctx, erasure, policy)
	return outcome + behind, err
}

// eraseOwnRow finds the row by the identity first. If something of the row is left
// afterwards, it finds the row by the user.
func (e *Erasures) eraseOwnRow(ctx context.Context, erasure *symbolon.Erasure, policy symbolon.RowPolicy) (string, error) {
	if erasure.User == "" {
		return "nothing to do: the identity has no user", nil
	}
	there, _, err := e.Users.LeftInRow(ctx, erasure.User, erasure.Identity)
	if err != nil {
		return "", err
	}
	if erasure.Identity != "" {
		if _, err := e.Linker.Erase(ctx, erasure.Identity, policy, reason(erasure)); err != nil {
			return "", err
		}
	}
	left, err := e.leftOfRow(ctx, erasure.User, erasure.Identity, policy)
	if err == nil && left != "" {
		err = e.eraseUser(ctx, erasure.User, erasure.Identity, policy, reason(erasure))
	}
	if err != nil {
		return "", err
	}
	if e.application() {
		return "the row belongs to the application, which has to erase it; Symbolon's stand-in row for the user is deleted (the two IDs in its ledger stay)", nil
	}
	return rowOutcome(there, policy), nil
}

func rowOutcome(there bool, policy symbolon.RowPolicy) string {
	switch {
	case !there:
		return "read back: there is no row"
	case policy == symbolon.DeleteRow:
		return "the row is deleted; read back: it is gone"
	}
	return "the row is anonymised; read back: the columns are empty"
}

// eraseUser retires the ID of a user, applies the policy to its row, and reads the row back.
func (e *Erasures) eraseUser(ctx context.Context, user symbolon.UserID, identity symbolon.IdentityID, policy symbolon.RowPolicy, why string) error {
	refused, err := e.Users.EraseUser(ctx, e.project(), user, identity, policy, why)
	if err != nil {
		return err
	}
	left, err := e.leftOfRow(ctx, user, identity, policy)
	if err != nil || left == "" {
		return err
	}
	refused = cmp.Or(refused, "the row holds another identity, or the table restored the values")
	return fmt.Errorf("%s (%s): the step is tried again until the table allows it: %w", left, refused, symbolon.ErrUnavailable)
}

// leftOfRow describes what the policy still has to do to the row. It returns "" if nothing
// is left.
func (e *Erasures) leftOfRow(ctx context.Context, user symbolon.UserID, identity symbolon.IdentityID, policy symbolon.RowPolicy) (string, error) {
	exists, columns, err := e.Users.LeftInRow(ctx, user, identity)
	switch {
	case err != nil:
		return "", err
	case exists && policy == symbolon.DeleteRow:
		return "the row is still there", nil
	case len(columns) > 0:
		return "these columns still hold a value: " + strings.Join(columns, ", "), nil
	}
	return "", nil
}

// application reports whether the application creates its users itself (create_url). The
// store then has only the ID and the identity of each user.
func (e *Erasures) application() bool { return e.Linker.Store.NewID() == symbolon.ByApplication }
