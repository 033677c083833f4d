package symbolon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// RowPolicy says what becomes of a user's row when its identity is gone for good.
type RowPolicy string

const (
	// KeepRow leaves the row as it is, but for the columns that are to be released.
	KeepRow RowPolicy = "keep"

	// DeactivateRow sets the column that is filled from "active" to false and
	// releases what is to be released. The default.
	DeactivateRow RowPolicy = "deactivate"

	// AnonymiseRow empties the columns that hold the person's data, and the identity
	// column; the row stays for whatever refers to it. Its ID is retired.
	AnonymiseRow RowPolicy = "anonymise"

	// DeleteRow deletes the row. Its ID is retired.
	DeleteRow RowPolicy = "delete"
)

// Ends reports whether the policy ends the user: its data is gone and its ID retired.
func (p RowPolicy) Ends() bool { return p == AnonymiseRow || p == DeleteRow }

// DefaultProofGap lies between the two looks that prove an identity gone.
const DefaultProofGap = 30 * time.Second

// GoneProof says that Ory no longer has an identity. Only [Linker.ProveGone] makes
// one, so that nobody's user is touched without.
type GoneProof struct {
	identity IdentityID
	at       time.Time // of the second look
}

// Identity is whom the proof is about.
func (p GoneProof) Identity() IdentityID { return p.identity }

// proofLife is for how long a proof counts.
const proofLife = 10 * time.Minute

var errNoProof = errors.New("there is no proof that the identity is gone: ProveGone makes one, good for ten minutes")

// UnprovedError says of whom [Linker.ProveGone] could find nothing out: Ory did not
// answer for them. They may be gone or not.
type UnprovedError struct {
	Identities []IdentityID
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
func (l *Linker) ProveGone(ctx context.Context, ids []IdentityID, control IdentityID) ([]GoneProof, error) {
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
	again := make([]IdentityID, len(first.gone))
	for i, p := range first.gone {
		again[i] = p.identity
	}
	second := l.missing(ctx, again)
	second.add(first.unknown, first.why)
	return second.gone, second.err()
}

// muster is what Ory said of many identities.
type muster struct {
	gone    []GoneProof // as of one look
	unknown []IdentityID
	why     error
}

func (m *muster) add(unknown []IdentityID, why error) {
	m.unknown = append(m.unknown, unknown...)
	if m.why == nil {
		m.why = why
	}
}

func (m *muster) err() error {
	if len(m.unknown) == 0 {
		return nil
	}
	return &UnprovedError{m.unknown, m.why}
}

// silence is after how many identities in a row that Ory does not answer for no more
// are asked for: one that it cannot read is none of many.
const silence = 3

// missing looks for each of ids once.
func (l *Linker) missing(ctx context.Context, ids []IdentityID) (m muster) {
	inRow := 0
	for i, id := range ids {
		switch _, err := l.Ory.Identity(ctx, id); {
		case err == nil:
			inRow = 0
		case errors.Is(err, ErrNotFound):
			inRow = 0
			m.gone = append(m.gone, GoneProof{identity: id, at: time.Now()})
		default:
			m.add([]IdentityID{id}, fmt.Errorf("ask Ory for identity %s: %w", id, err))
			if inRow++; inRow == silence || ctx.Err() != nil {
				m.add(ids[i+1:], nil)
				return m
			}
		}
	}
	return m
}

func (l *Linker) control(ctx context.Context, id IdentityID) error {
	if _, err := l.Ory.Identity(ctx, id); err != nil {
		return fmt.Errorf("identity %s, which has to exist, was not found (%v): nothing is proved: %w", id, err, ErrUnavailable) //nolint:errorlint // a "no" here is "don't know"
	}
	return nil
}

// Bury records that Ory no longer has an identity and lets its user's row follow
// OnIdentityDeleted, in one transaction. Whatever comes later of this identity, a
// late hook or a replayed event, resurrects nothing. Idempotent: what the table refused
// before, with the finding [RowKept], is tried again.
func (l *Linker) Bury(ctx context.Context, p GoneProof) (Link, error) {
	l.setup()
	if p.identity == "" || time.Since(p.at) > proofLife {
		return Link{}, fmt.Errorf("bury identity %q: %w", p.identity, errNoProof)
	}
	row := l.OnIdentityDeleted
	if row == "" {
		row = DeactivateRow
	}
	return l.bury(ctx, p.identity, ByReconcile, Gone, row, "Ory no longer has the identity")
}

// Erase ends a bond for good, by the operator's word: whoever signs in with the
// identity is denied from now on, its user's ID is retired, and row says what becomes
// of the row; empty leaves it for a later call. Idempotent. It asks nothing of Ory and
// erases nothing there: package erase carries out the whole.
func (l *Linker) Erase(ctx context.Context, id IdentityID, row RowPolicy, why string) (Link, error) {
	l.setup()
	return l.bury(ctx, id, ByOperator, Erased, row, why)
}

func (l *Linker) bury(ctx context.Context, id IdentityID, way Way, state LinkState, row RowPolicy, why string) (Link, error) {
	seen := Seen{Identity: Identity{ID: id}, Way: way}
	out, err := l.carryOut(ctx, Query{Project: l.project(), Seen: seen}, func(h Held) (Plan, error) {
		return decideBury(seen, h, state, row, why), nil
	})
	if err != nil {
		return Link{}, fmt.Errorf("bury identity %s: %w", id, err)
	}
	l.report(seen, out)
	l.watchers.tell(id)
	return out.Link, nil
}

// decideBury is pure, as decide is. The row that follows the policy is the one that
// the ledger and its own identity column agree on; any other is the application's to
// settle.
func decideBury(s Seen, h Held, state LinkState, row RowPolicy, why string) Plan {
	plan := Plan{Action: Bury, State: state, Row: row, Why: why}
	user := buried(h)
	plan.User = user
	own := h.Row != nil && h.Row.ID == user && (h.Row.Linked == "" || h.Row.Linked == s.Identity.ID)
	if !own {
		plan.Row = "" // there is no row, or it is not surely this identity's
	}
	before := LinkState("")
	if h.Link != nil {
		before = h.Link.State
	}
	if before == Erased {
		plan.State = Erased // is never less than that
	}
	if plan.State == before && plan.Row == "" && own {
		return Plan{Action: Keep, User: user} // without a row of its own a store still closes what was found of it
	}
	if missing := h.Row == nil && h.User == nil; user != "" && (own || missing) && (row.Ends() || plan.State == Erased) {
		plan.Retire = user
	}
	return plan
}

// buried is the user whose bond ends. What an entry on hold remembers of a former
// user is none: it may be another's by now.
func buried(h Held) UserID {
	if h.Link != nil && h.Link.State != OnHold && h.Link.User != "" {
		return h.Link.User
	}
	if h.Row != nil {
		return h.Row.ID // a hand-written hook's row: that is the link
	}
	return ""
}

// decideEnded judges an identity whose bond is over. One that was proved gone and is
// there again, after a backup was restored, is the operator's to settle.
func decideEnded(s Seen, h Held, p policy) (Plan, question) {
	id, link := s.Identity.ID, h.Link
	if link.State == Erased {
		return Plan{Action: Deny, User: link.User, Reason: UserGone, Err: &DenyError{Identity: id, Finding: UserGone,
			Detail: "the person was erased", Err: ErrUserGone}}, question{}
	}
	if !s.Admin && p.admin {
		return Plan{}, question{identity: true}
	}
	detail := "Ory had lost the identity, which was proved, and has it again; bind gives it a user"
	if link.User != "" {
		detail = fmt.Sprintf("Ory had lost the identity of user %s, which was proved, and has it again; bind gives it the user again", link.User)
	}
	return Plan{Action: Deny, User: link.User, Reason: IdentityReturned,
		Findings: []Finding{{Kind: IdentityReturned, Identity: id, User: link.User, Detail: detail}},
		Err:      &DenyError{Identity: id, Finding: IdentityReturned, Detail: detail, Err: ErrOnHold}}, question{}
}

// Rebind gives an identity the user that its metadata claims, after the identity that
// has the user was proved gone: a project was moved, an export imported again. The
// identity is read once more first.
//
// Idempotent.
//
// Errors: *ConflictError where it does not claim the user of that identity, or has
// another one; ErrNotFound, ErrUnavailable, ErrNoAdmin.
func (l *Linker) Rebind(ctx context.Context, id IdentityID, gone GoneProof) (Link, error) {
	l.setup()
	if gone.identity == "" || time.Since(gone.at) > proofLife {
		return Link{}, fmt.Errorf("rebind identity %s: %w", id, errNoProof)
	}
	if !l.Ory.HasAdmin() {
		return Link{}, fmt.Errorf("rebind identity %s: %w", id, ErrNoAdmin)
	}
	seen, err := l.read(ctx, id, ByReconcile)
	if err != nil {
		return Link{}, fmt.Errorf("rebind: %w", err)
	}
	p := l.policy()
	out, err := l.carryOut(ctx, l.query(seen, p), func(h Held) (Plan, error) {
		return decideRebind(seen, h, gone.identity, p)
	})
	return l.finish(ctx, seen, out, err)
}

func decideRebind(s Seen, h Held, gone IdentityID, p policy) (Plan, error) {
	id := s.Identity.ID
	if rebound(s, h, p) {
		return Plan{Action: Keep, User: h.Link.User}, nil
	}
	if h.Row != nil || h.Link != nil && h.Link.State != OnHold {
		user := UserID("")
		if h.Link != nil {
			user = h.Link.User
		}
		return Plan{}, &ConflictError{Identity: id, User: user, Reason: "the identity has a user, or had one"}
	}
	for at, user := range claimsOf(s.Identity, p.key).users() {
		known := held(h, at)
		if user == "" || known.Row == nil || known.Retired || known.Owner() != gone {
			continue
		}
		if known.Linked != "" && known.Linked != gone {
			continue
		}
		return Plan{Action: Attach, User: user, Release: gone, ReleaseGone: true, BackReference: backReference(s, user, p),
			Why: fmt.Sprintf("it claims the user of identity %s, which is proved gone", gone)}, nil
	}
	return Plan{}, &ConflictError{Identity: id, User: "", Reason: fmt.Sprintf("it claims no user of identity %s", gone)}
}

// rebound says that the identity has the user that it claims, as after an earlier call.
func rebound(s Seen, h Held, p policy) bool {
	return h.Link != nil && h.Link.State == Linked && h.Row != nil && h.Row.ID == h.Link.User &&
		slices.Contains(claimsOf(s.Identity, p.key).users(), h.Link.User)
}
