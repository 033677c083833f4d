package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// ErrByHand: no repair exists for this kind. The operator has to resolve the finding,
// usually with bind.
var ErrByHand = errors.New("there is no automatic repair: the operator resolves this with bind or in the application")

// NeedsProof reports whether the repair of a finding of this kind needs a proof, which
// takes at least the Linker's ProofGap.
func NeedsProof(k symbolon.FindingKind) bool {
	return byProof(k) || k == symbolon.RecreatedIdentity
}

// CanRepair reports whether RepairFinding can repair a kind with this Linker's policies.
// Otherwise RepairFinding returns ErrByHand.
func (r *Reconciler) CanRepair(k symbolon.FindingKind) bool {
	switch k {
	case symbolon.RecreatedIdentity, symbolon.ColumnRefused, symbolon.RowKept:
		return true
	case symbolon.MissingBackReference:
		return r.Linker.BackReference.WithDefaults().Write == link.WriteRepair
	}
	return byLink(k) || byProof(k) && r.canEndKind(k)
}

// RepairFinding repairs one open finding now. Only the operator calls it, so the limits of
// a run on missing identities do not apply. RepairFinding is idempotent; nil means that the
// finding no longer holds.
//
// Errors: ErrByHand; a *symbolon.DenyError or ErrConflict if the finding still holds;
// ErrNotFound if Ory no longer has the identity; ErrUnavailable; ErrNoAdmin.
func (r *Reconciler) RepairFinding(ctx context.Context, f symbolon.Finding) error {
	if !r.Linker.Ory.HasAdmin() {
		return fmt.Errorf("repair finding %d: %w", f.ID, symbolon.ErrNoAdmin)
	}
	repair := r.linkOne
	switch {
	case !r.CanRepair(f.Kind):
		return fmt.Errorf("repair finding %d: %w", f.ID, ErrByHand)
	case byProof(f.Kind):
		repair = r.endOne
	case f.Kind == symbolon.RecreatedIdentity:
		repair = r.rebindOne
	case f.Kind == symbolon.MissingBackReference:
		repair = r.writeOne
	}
	err := repair(ctx, f)
	if err != nil {
		return fmt.Errorf("repair finding %d: %w", f.ID, err)
	}
	return nil
}

// linkOne reads the identity again and links it. It closes a finding of a kind that only a
// run finds; the store closes the others.
func (r *Reconciler) linkOne(ctx context.Context, f symbolon.Finding) error {
	ticket, err := r.Linker.Store.Ticket(ctx)
	if err != nil {
		return err
	}
	identity, err := r.Linker.Ory.Identity(ctx, f.Identity)
	if err != nil {
		return err
	}
	seen := symbolon.Reading{Identity: identity, Ticket: ticket, Source: symbolon.FromOperator, Admin: true, Rewrite: f.Kind == StateMismatch}
	if _, err := r.Linker.Link(ctx, seen); err != nil && !errors.Is(err, symbolon.ErrDenied) {
		return err
	}
	if onlyFoundByRuns(f.Kind) {
		return r.Ledger.RecordFindings(ctx, r.project(), symbolon.FromOperator, nil, []symbolon.Finding{f})
	}
	return r.checkClosed(ctx, f)
}

// writeOne writes a back-reference. The store closes the finding.
func (r *Reconciler) writeOne(ctx context.Context, f symbolon.Finding) error {
	switch wrote, err := r.Linker.RepairBackReference(ctx, f.Identity); {
	case err != nil:
		return err
	case wrote == link.TooSoon:
		return fmt.Errorf("%w: the identity was changed or signed in during the last ten minutes", symbolon.ErrConflict)
	}
	return r.checkClosed(ctx, f)
}

// checkClosed returns an error if the finding is still open.
func (r *Reconciler) checkClosed(ctx context.Context, f symbolon.Finding) error {
	open, err := r.openOf(ctx, f.Identity)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(open, func(o symbolon.Finding) bool { return o.ID == f.ID }) {
		return fmt.Errorf("%w: %s", symbolon.ErrConflict, "the finding still holds: "+f.Detail)
	}
	return nil
}

// openOf returns the open findings of one identity.
func (r *Reconciler) openOf(ctx context.Context, id symbolon.IdentityID) ([]symbolon.Finding, error) {
	const beforeKinds = "-"
	return r.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: r.project(), After: id, AfterKind: beforeKinds, Upto: id, Limit: pageSize})
}

func (r *Reconciler) endOne(ctx context.Context, f symbolon.Finding) error {
	control, err := r.findControl(ctx, f.Identity)
	if err != nil {
		return err
	}
	proof, err := r.proveOne(ctx, f.Identity, control)
	if err != nil {
		return err
	}
	if _, err := r.Linker.EndGone(ctx, proof); err != nil {
		return err
	}
	return r.checkClosed(ctx, f)
}

func (r *Reconciler) rebindOne(ctx context.Context, f symbolon.Finding) error {
	run := r.newRun(Options{})
	h, err := run.formerOwner(ctx, f)
	switch {
	case err != nil:
		return err
	case h == nil || h.from == "": // the finding is resolved, or must be decided again
		_, err := r.Linker.Refresh(ctx, f.Identity, symbolon.FromOperator)
		return err
	}
	proof, err := r.proveOne(ctx, h.from, h.to) // Ory has h.to
	if err != nil {
		return err
	}
	_, err = r.Linker.Rebind(ctx, h.to, proof)
	return err
}

// proveOne proves that one identity is gone. control is an identity that Ory has.
func (r *Reconciler) proveOne(ctx context.Context, id, control symbolon.IdentityID) (link.GoneProof, error) {
	proofs, err := r.Linker.ProveGone(ctx, []symbolon.IdentityID{id}, control)
	switch {
	case err != nil:
		return link.GoneProof{}, err
	case len(proofs) == 0:
		return link.GoneProof{}, fmt.Errorf("%w: Ory has identity %s after all", symbolon.ErrConflict, id)
	}
	return proofs[0], nil
}

// findControl finds an identity of the ledger that Ory has. It tries only entries that
// are linked or on hold, because the number of ended entries grows over the years.
func (r *Reconciler) findControl(ctx context.Context, not symbolon.IdentityID) (symbolon.IdentityID, error) {
	const most = 50 // requests to Ory
	asked := 0
	for after, more := symbolon.IdentityID(""), true; more && asked < most; {
		entries, err := r.Ledger.Entries(ctx, r.project(), after, "", pageSize)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			after = e.Link.Identity
			living := e.Link.State == symbolon.Linked || e.Link.State == symbolon.Also || e.Link.State == symbolon.OnHold
			if after == not || !living || asked == most {
				continue
			}
			asked++
			switch _, err := r.Linker.Ory.Identity(ctx, after); {
			case err == nil:
				return after, nil
			case !errors.Is(err, symbolon.ErrNotFound):
				return "", err
			}
		}
		more = len(entries) == pageSize
	}
	return "", fmt.Errorf("a proof needs an identity that the ledger knows and Ory has, and none was found: %w", symbolon.ErrUnavailable)
}
