package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// repairBatch is how many repairs are sent to Linker.LinkAll at once.
const repairBatch = 500

// maxConsecutiveFailures is how many repairs in a row may fail because Ory or the store is
// unavailable. Then the run ends.
const maxConsecutiveFailures = 10

// repairAll lists all identities again and repairs each difference. It takes the ticket
// before the listing, so that it never overwrites a later reading of a hook or another run.
func (r *run) repairAll(ctx context.Context) error {
	if r.state.Ticket == 0 && anyFound(r.state.Looked.Found, needsTicket) {
		ticket, err := r.Linker.Store.Ticket(ctx)
		if err != nil {
			return fmt.Errorf("take a ticket: %w", err)
		}
		r.note(func(s *state) { s.Ticket = ticket })
	}
	return r.walk(ctx, r.repairPage)
}

// repair is the repair of one difference.
type repair struct {
	identity symbolon.Identity
	kind     symbolon.FindingKind
	err      error
}

// repairPage is the visitor of repairAll.
func (r *run) repairPage(ctx context.Context, pairs []pair) (func(*state), error) {
	var repairs []*repair
	var noBackReference []symbolon.IdentityID
	seen, absent, differ, recreated := 0, 0, 0, false
	for _, p := range pairs {
		if p.identity == nil {
			if p.bound() && !r.madeDuringWalk(p) {
				absent++
			}
			continue
		}
		seen++
		j, _, err := r.compareOne(ctx, p)
		if err != nil {
			return nil, err
		}
		differ += len(j.findings)
		for _, f := range j.findings {
			recreated = recreated || f.Kind == symbolon.RecreatedIdentity // an earlier attempt of this run put it on hold and was then killed
			if byLink(f.Kind) && (r.state.Ticket > 0 || !needsTicket(f.Kind)) {
				repairs = append(repairs, &repair{identity: *p.identity, kind: f.Kind})
			}
			if f.Kind == symbolon.MissingBackReference {
				noBackReference = append(noBackReference, f.Identity)
			}
		}
	}
	if err := r.stillPlausible(absent); err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(repairs, repairBatch) {
		if err := r.linkAll(ctx, batch); err != nil {
			return nil, err
		}
	}
	if err := r.writeBack(ctx, noBackReference); err != nil {
		return nil, err
	}
	return func(s *state) {
		s.Walk.Identities += seen
		s.Walk.Absent += absent
		s.Walk.Met += differ
		s.Rebind = s.Rebind || recreated
	}, nil
}

// linkAll makes the repairs, waits for all of them, and counts the results.
func (r *run) linkAll(ctx context.Context, repairs []*repair) error {
	seen := make([]symbolon.Reading, len(repairs))
	for i, p := range repairs {
		seen[i] = symbolon.Reading{Identity: p.identity, Ticket: r.state.Ticket, Source: symbolon.FromReconcile, Admin: true, Rewrite: p.kind == StateMismatch}
	}
	for i, result := range r.Linker.LinkAll(ctx, seen) {
		repairs[i].err = result.Err
		if p := repairs[i]; p.err == nil && holdsElsewhere(p.kind) {
			p.err = r.stillOpen(ctx, p.identity.ID, p.kind)
		}
	}
	return r.countResults(ctx, repairs)
}

// stillOpen returns ErrConflict if the identity has an open finding of the kind. The link is
// made also without a value that another row has.
func (r *run) stillOpen(ctx context.Context, id symbolon.IdentityID, kind symbolon.FindingKind) error {
	open, err := r.openOf(ctx, id)
	if err == nil && slices.ContainsFunc(open, func(f symbolon.Finding) bool { return f.Kind == kind }) {
		err = fmt.Errorf("%w: another row still has the value", symbolon.ErrConflict)
	}
	return err
}

// workers is how many calls run at the same time if there is no batch call.
const workers = 8

// writeBack writes back-references one at a time and at the background's pace, because each
// one rewrites the whole identity at Ory without a lock. If the run has to pause, the rest
// of the page is left to the next run. An identity into which nothing was written, for
// example because somebody signed in a moment ago, is left to the next run too.
func (r *run) writeBack(ctx context.Context, ids []symbolon.IdentityID) error {
	ctx = symbolon.Background(ctx, time.Minute)
	for _, id := range ids {
		if r.pausing() {
			return nil
		}
		wrote, err := r.Linker.RepairBackReference(ctx, id)
		if err == nil && wrote != link.WroteNow && wrote != link.Stands {
			continue
		}
		if err := r.countResults(ctx, []*repair{{kind: symbolon.MissingBackReference, err: err}}); err != nil {
			return err
		}
	}
	return nil
}

// countResults counts the results. The next run tries failed repairs again. Too many
// outages in a row end this run.
func (r *run) countResults(ctx context.Context, repairs []*repair) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range repairs {
		r.countResult(p.kind, p.err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.failuresInRow >= maxConsecutiveFailures {
		return fmt.Errorf("%d of the repairs failed: %w", r.state.Failed, r.failure)
	}
	return nil
}

// countResult counts one result. The caller holds r.mu.
func (r *run) countResult(kind symbolon.FindingKind, err error) {
	denied, isDenial := errors.AsType[*symbolon.DenyError](err)
	switch {
	case err == nil, errors.Is(err, symbolon.ErrDenied): // a denied user's row is repaired like any other
		r.state.Repaired[kind]++
	case errors.Is(err, symbolon.ErrNotEligible): // it was eligible when it was compared
	case isDenial, errors.Is(err, symbolon.ErrConflict):
		r.state.Denied++
		r.state.Rebind = r.state.Rebind || isDenial && denied.Finding == symbolon.RecreatedIdentity
	case errors.Is(err, symbolon.ErrNotFound): // deleted at Ory meanwhile
		return
	default:
		r.fail(err)
		return
	}
	r.failuresInRow = 0
}

// fail notes a failure. The caller holds r.mu.
func (r *run) fail(err error) {
	r.state.Failed++
	if r.failure == nil {
		r.failure = err
	}
	if errors.Is(err, symbolon.ErrUnavailable) {
		r.failuresInRow++
	}
}
