package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/wait"
)

const (
	// DefaultProofGap is the time between the two requests that prove an identity gone.
	DefaultProofGap = 30 * time.Second

	// proofLife is how long a proof is valid.
	proofLife = 10 * time.Minute

	// After maxUnanswered failed requests in a row ProveGone makes no more. The number is
	// greater than one, because one identity that Ory cannot read must not end the whole
	// proof.
	maxUnanswered = 3
)

// GoneProof proves that Ory no longer has an identity. Only [Linker.ProveGone] makes one,
// so that no user is touched without a proof.
type GoneProof struct {
	identity symbolon.IdentityID
	at       time.Time // of the second request
}

// Identity is the identity that is gone.
func (p GoneProof) Identity() symbolon.IdentityID { return p.identity }

// valid reports whether the proof names an identity and is not too old.
func (p GoneProof) valid() bool { return p.identity != "" && time.Since(p.at) <= proofLife }

var errNoProof = errors.New("there is no proof that the identity is gone: ProveGone makes one, good for ten minutes")

// UnprovedError lists the identities for which Ory did not answer [Linker.ProveGone].
// Each of them may be gone or not.
type UnprovedError struct {
	Identities []symbolon.IdentityID
	Err        error // the first failure
}

func (e *UnprovedError) Error() string {
	return fmt.Sprintf("ory did not answer for %d of the identities: %v", len(e.Identities), e.Err)
}

func (e *UnprovedError) Unwrap() error { return e.Err }

// ProveGone asks Ory for each identity twice, ProofGap apart. It returns a proof for each
// identity for which Kratos answered 404 both times, in Kratos' own format. control is an
// identity that is known to exist. Ory must find it both before and after the pause.
// Otherwise Ory has lost data or is another project, and nothing is proved. The call lasts
// at least ProofGap, unless the first round finds all identities.
//
// Errors: *UnprovedError lists the identities for which Ory did not answer; the returned
// proofs are valid. After three failures in a row the remaining identities are not asked
// for, and are listed too. After any other error nothing is proved; the error is
// ErrUnavailable if control was not found.
func (l *Linker) ProveGone(ctx context.Context, ids []symbolon.IdentityID, control symbolon.IdentityID) ([]GoneProof, error) {
	l.setup()
	first := l.lookUpAll(ctx, ids)
	if len(first.gone) == 0 {
		return nil, first.err()
	}
	if err := l.findControl(ctx, control); err != nil {
		return nil, err
	}
	if err := wait.For(ctx, defaults.Positive(l.ProofGap, DefaultProofGap)); err != nil {
		return nil, fmt.Errorf("wait to ask again: %w", err)
	}
	if err := l.findControl(ctx, control); err != nil {
		return nil, err
	}
	again := make([]symbolon.IdentityID, len(first.gone))
	for i, p := range first.gone {
		again[i] = p.identity
	}
	second := l.lookUpAll(ctx, again)
	second.addUnanswered(first.unanswered, first.failure)
	return second.gone, second.err()
}

// lookups are Ory's answers about many identities, each asked for once.
type lookups struct {
	gone       []GoneProof // each proof rests on one request only
	unanswered []symbolon.IdentityID
	failure    error // the first one
}

func (s *lookups) addUnanswered(ids []symbolon.IdentityID, failure error) {
	s.unanswered = append(s.unanswered, ids...)
	if s.failure == nil {
		s.failure = failure
	}
}

func (s *lookups) err() error {
	if len(s.unanswered) == 0 {
		return nil
	}
	return &UnprovedError{s.unanswered, s.failure}
}

// lookUpAll asks Ory for each identity once.
func (l *Linker) lookUpAll(ctx context.Context, ids []symbolon.IdentityID) (s lookups) {
	inRow := 0
	for i, id := range ids {
		switch _, err := l.Ory.Identity(ctx, id); {
		case err == nil:
			inRow = 0
		case errors.Is(err, symbolon.ErrNotFound):
			inRow = 0
			s.gone = append(s.gone, GoneProof{identity: id, at: time.Now()})
		default:
			s.addUnanswered([]symbolon.IdentityID{id}, fmt.Errorf("ask Ory for identity %s: %w", id, err))
			if inRow++; inRow == maxUnanswered || ctx.Err() != nil {
				s.addUnanswered(ids[i+1:], nil)
				return s
			}
		}
	}
	return s
}

func (l *Linker) findControl(ctx context.Context, id symbolon.IdentityID) error {
	if _, err := l.Ory.Identity(ctx, id); err != nil {
		return fmt.Errorf("identity %s, which has to exist, was not found (%v): nothing is proved: %w", id, err, symbolon.ErrUnavailable) //nolint:errorlint // a 404 for the control is "don't know"
	}
	return nil
}

// EndGone records that Ory no longer has an identity, and treats its user's row as
// OnIdentityDeleted says, in one transaction. Late hooks and replayed events of the
// identity change nothing afterwards. EndGone is idempotent. It tries again to change a row
// that the table refused to change (finding [symbolon.RowKept]).
func (l *Linker) EndGone(ctx context.Context, p GoneProof) (symbolon.Link, error) {
	l.setup()
	if !p.valid() {
		return symbolon.Link{}, fmt.Errorf("end the bond of identity %q: %w", p.identity, errNoProof)
	}
	row := cmp.Or(l.OnIdentityDeleted, symbolon.DeactivateRow)
	return l.end(ctx, p.identity, symbolon.FromReconcile, symbolon.Gone, row, "Ory no longer has the identity")
}

// Erase ends a bond for good, because the operator asked for it. The identity is denied
// from now on, its user's ID is retired, and the parameter row says what happens to the
// user's row. An empty policy leaves the row for a later call. Erase is idempotent. It
// erases nothing at Ory; package erase carries out the whole erasure.
//
// Errors: ErrWhy if the reason cannot be kept; ErrUnavailable.
func (l *Linker) Erase(ctx context.Context, id symbolon.IdentityID, row symbolon.RowPolicy, why string) (symbolon.Link, error) {
	l.setup()
	if err := CheckWhy(why); err != nil {
		return symbolon.Link{}, fmt.Errorf("erase: %w", err)
	}
	return l.end(ctx, id, symbolon.FromOperator, symbolon.Erased, row, why)
}

func (l *Linker) end(ctx context.Context, id symbolon.IdentityID, source symbolon.Source, state symbolon.LinkState, row symbolon.RowPolicy, why string) (symbolon.Link, error) {
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: source}
	out, err := l.apply(ctx, symbolon.Query{Project: l.project(), Reading: r, Ends: true}, func(e symbolon.Evidence) (symbolon.Plan, error) {
		return decide.End(r, e, state, row, why), nil
	})
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("end the bond of identity %s: %w", id, err)
	}
	l.logOutcome(r, out)
	l.watchers.notify(id)
	return out.Link, nil
}

// Rebind gives an identity the user that its metadata claims, after the identity that had
// the user was proved gone. Rebind is needed after a project was moved or an export was
// imported again. It reads the identity once more first. Rebind is idempotent.
//
// Errors: *ConflictError if the identity does not claim that user or has another one;
// ErrNotFound, ErrUnavailable, ErrNoAdmin.
func (l *Linker) Rebind(ctx context.Context, id symbolon.IdentityID, gone GoneProof) (symbolon.Link, error) {
	l.setup()
	if !gone.valid() {
		return symbolon.Link{}, fmt.Errorf("rebind identity %s: %w", id, errNoProof)
	}
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, fmt.Errorf("rebind identity %s: %w", id, symbolon.ErrNoAdmin)
	}
	r, err := l.read(ctx, id, symbolon.FromReconcile)
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("rebind: %w", err)
	}
	p := l.policy()
	out, err := l.apply(ctx, l.query(r, p), func(e symbolon.Evidence) (symbolon.Plan, error) {
		return decide.Rebind(r, e, gone.identity, p)
	})
	return l.finish(ctx, r, out, err)
}
