package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// DefaultProofGap lies between the two looks that prove an identity gone.
const DefaultProofGap = 30 * time.Second

// GoneProof says that Ory no longer has an identity. Only [Linker.ProveGone] makes
// one, so that nobody's user is touched without.
type GoneProof struct {
	identity symbolon.IdentityID
	at       time.Time // of the second look
}

// Identity is whom the proof is about.
func (p GoneProof) Identity() symbolon.IdentityID { return p.identity }

// proofLife is for how long a proof counts.
const proofLife = 10 * time.Minute

var errNoProof = errors.New("there is no proof that the identity is gone: ProveGone makes one, good for ten minutes")

// UnprovedError says of whom [Linker.ProveGone] could find nothing out: Ory did not
// answer for them. They may be gone or not.
type UnprovedError struct {
	Identities []symbolon.IdentityID
	Err        error // what Ory answered the first time
}

func (e *UnprovedError) Error() string {
	return fmt.Sprintf("nothing was found out of %d identities: %v", len(e.Identities), e.Err)
}

func (e *UnprovedError) Unwrap() error { return e.Err }

// ProveGone looks for identities at Ory twice, ProofGap apart, and returns a proof
// for each that Kratos' own 404 was answered for both times. Between, and before the
// second look, control has to be found: an identity that is known to exist, so that
// an Ory that has lost its data, or is another project's, proves nothing. The call
// lasts at least ProofGap unless everybody is found at once.
//
// *UnprovedError: some were not answered for, and after three of them in a row no more
// were asked for; the proofs of the others, returned beside it, count. Any other error,
// ErrUnavailable where the control was not found: nothing is proved, of anybody.
func (l *Linker) ProveGone(ctx context.Context, ids []symbolon.IdentityID, control symbolon.IdentityID) ([]GoneProof, error) {
	l.setup()
	first := l.missing(ctx, ids)
	if len(first.gone) == 0 {
		return nil, first.err()
	}
	if err := l.control(ctx, control); err != nil {
		return nil, err
	}
	gap := l.ProofGap
	if gap <= 0 {
		gap = DefaultProofGap
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the second look: %w", ctx.Err())
	}
	if err := l.control(ctx, control); err != nil {
		return nil, err
	}
	again := make([]symbolon.IdentityID, len(first.gone))
	for i, p := range first.gone {
		again[i] = p.identity
	}
	second := l.missing(ctx, again)
	second.add(first.unknown, first.why)
	return second.gone, second.err()
}

// muster is what Ory said of many identities.
type lookups struct {
	gone    []GoneProof // as of one look
	unknown []symbolon.IdentityID
	why     error
}

func (m *lookups) add(unknown []symbolon.IdentityID, why error) {
	m.unknown = append(m.unknown, unknown...)
	if m.why == nil {
		m.why = why
	}
}

func (m *lookups) err() error {
	if len(m.unknown) == 0 {
		return nil
	}
	return &UnprovedError{m.unknown, m.why}
}

// silence is after how many identities in a row that Ory does not answer for no more
// are asked for: one that it cannot read is none of many.
const maxUnanswered = 3

// missing looks for each of ids once.
func (l *Linker) missing(ctx context.Context, ids []symbolon.IdentityID) (m lookups) {
	inRow := 0
	for i, id := range ids {
		switch _, err := l.Ory.Identity(ctx, id); {
		case err == nil:
			inRow = 0
		case errors.Is(err, symbolon.ErrNotFound):
			inRow = 0
			m.gone = append(m.gone, GoneProof{identity: id, at: time.Now()})
		default:
			m.add([]symbolon.IdentityID{id}, fmt.Errorf("ask Ory for identity %s: %w", id, err))
			if inRow++; inRow == maxUnanswered || ctx.Err() != nil {
				m.add(ids[i+1:], nil)
				return m
			}
		}
	}
	return m
}

func (l *Linker) control(ctx context.Context, id symbolon.IdentityID) error {
	if _, err := l.Ory.Identity(ctx, id); err != nil {
		return fmt.Errorf("identity %s, which has to exist, was not found (%v): nothing is proved: %w", id, err, symbolon.ErrUnavailable) //nolint:errorlint // a "no" here is "don't know"
	}
	return nil
}

// Bury records that Ory no longer has an identity and lets its user's row follow
// OnIdentityDeleted, in one transaction. Whatever comes later of this identity, a
// late hook or a replayed event, resurrects nothing. Idempotent: what the table refused
// before, with the finding [symbolon.RowKept], is tried again.
func (l *Linker) EndGone(ctx context.Context, p GoneProof) (symbolon.Link, error) {
	l.setup()
	if p.identity == "" || time.Since(p.at) > proofLife {
		return symbolon.Link{}, fmt.Errorf("bury identity %q: %w", p.identity, errNoProof)
	}
	row := l.OnIdentityDeleted
	if row == "" {
		row = symbolon.DeactivateRow
	}
	return l.end(ctx, p.identity, symbolon.FromReconcile, symbolon.Gone, row, "Ory no longer has the identity")
}

// Erase ends a bond for good, by the operator's word: whoever signs in with the
// identity is denied from now on, its user's ID is retired, and row says what becomes
// of the row; empty leaves it for a later call. Idempotent. It asks nothing of Ory and
// erases nothing there: package erase carries out the whole.
func (l *Linker) Erase(ctx context.Context, id symbolon.IdentityID, row symbolon.RowPolicy, why string) (symbolon.Link, error) {
	l.setup()
	return l.end(ctx, id, symbolon.FromOperator, symbolon.Erased, row, why)
}

func (l *Linker) end(ctx context.Context, id symbolon.IdentityID, way symbolon.Source, state symbolon.LinkState, row symbolon.RowPolicy, why string) (symbolon.Link, error) {
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: way}
	out, err := l.carryOut(ctx, symbolon.Query{Project: l.project(), Reading: seen}, func(h symbolon.Evidence) (symbolon.Plan, error) {
		return decide.End(seen, h, state, row, why), nil
	})
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("bury identity %s: %w", id, err)
	}
	l.report(seen, out)
	l.watchers.tell(id)
	return out.Link, nil
}

// Rebind gives an identity the user that its metadata claims, after the identity that
// has the user was proved gone: a project was moved, an export imported again. The
// identity is read once more first.
//
// Idempotent.
//
// Errors: *ConflictError where it does not claim the user of that identity, or has
// another one; ErrNotFound, ErrUnavailable, ErrNoAdmin.
func (l *Linker) Rebind(ctx context.Context, id symbolon.IdentityID, gone GoneProof) (symbolon.Link, error) {
	l.setup()
	if gone.identity == "" || time.Since(gone.at) > proofLife {
		return symbolon.Link{}, fmt.Errorf("rebind identity %s: %w", id, errNoProof)
	}
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, fmt.Errorf("rebind identity %s: %w", id, symbolon.ErrNoAdmin)
	}
	seen, err := l.read(ctx, id, symbolon.FromReconcile)
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("rebind: %w", err)
	}
	p := l.policy()
	out, err := l.carryOut(ctx, l.query(seen, p), func(h symbolon.Evidence) (symbolon.Plan, error) {
		return decide.Rebind(seen, h, gone.identity, p)
	})
	return l.finish(ctx, seen, out, err)
}
