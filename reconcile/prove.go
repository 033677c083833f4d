package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// batch is how many identities are proved gone behind one gap when users are handed on.
const batch = 1000

// bury has everybody who is missing proved gone, all behind one gap, and ends their
// bonds. Whoever Ory has after all is left; so is everybody where a question was not
// answered.
func (r *run) bury(ctx context.Context) error {
	kinds := map[symbolon.IdentityID]symbolon.FindingKind{}
	var ids []symbolon.IdentityID
	for _, a := range r.state.Missing {
		if r.buries(a.Kind) {
			kinds[a.Identity] = a.Kind
			ids = append(ids, a.Identity)
		}
	}
	proofs, err := r.prove(ctx, ids)
	if err != nil {
		return err
	}
	errs := make([]error, len(proofs))
	atOnce(len(proofs), func(i int) {
		_, errs[i] = r.Linker.Bury(ctx, proofs[i])
		if id := proofs[i].Identity(); errs[i] == nil && kinds[id] == symbolon.RowKept {
			errs[i] = r.stillKept(ctx, id)
		}
	})
	for i, p := range proofs {
		r.judgeRepair(kinds[p.Identity()], errs[i])
	}
	return ctx.Err()
}

// buries reports whether burying does anything about a kind. A row that is only to be
// deactivated or emptied is not tried again: it may have a new life by now.
func (r *Reconciler) buries(k symbolon.FindingKind) bool {
	p := r.Linker.OnIdentityDeleted
	return k == OrphanUser || p == symbolon.DeleteRow || p == symbolon.AnonymiseRow
}

// stillKept is a conflict where the table refused the row's end again.
func (r *Reconciler) stillKept(ctx context.Context, id symbolon.IdentityID) error {
	open, err := r.openOf(ctx, id)
	if err == nil && (pair{open: open}).isOpen(symbolon.RowKept) != nil {
		err = fmt.Errorf("the row of identity %s is kept: %w", id, symbolon.ErrConflict)
	}
	return err
}

// prove returns the proofs that there are. What keeps it from knowing is counted as
// one failure, and nobody is touched.
func (r *run) prove(ctx context.Context, ids []symbolon.IdentityID) ([]symbolon.GoneProof, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var proofs []symbolon.GoneProof
	var err error
	if r.state.Control == "" {
		err = fmt.Errorf("there is no identity that is known and that Ory has, to prove by it that it answers truly: %w", symbolon.ErrUnavailable)
	} else {
		proofs, err = r.Linker.ProveGone(ctx, ids, r.state.Control)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fail(fmt.Errorf("prove %d identities gone: %w", len(ids), err))
		return nil, nil
	}
	return proofs, nil
}

// handover is one identity on hold and the one whose user it claims.
type handover struct {
	to, from symbolon.IdentityID
	proof    *symbolon.GoneProof
}

// rebind gives identities that were recreated their users back, batch by batch. The
// ledger's findings say who they are, so that nobody has to be listed for it.
func (r *run) rebind(ctx context.Context) error {
	r.mu.Lock()
	at := r.state.Shards[0].At // the cursor; this phase has no shards
	r.mu.Unlock()
	for {
		page, err := r.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: r.project(), Kind: symbolon.RecreatedIdentity, After: at, Limit: batch})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := r.rebindPage(ctx, page); err != nil {
			return err
		}
		at = page[len(page)-1].Identity
		r.note(func(s *state) {
			s.Shards[0].At = at
			s.Walk.Identities += len(page)
		})
		if r.pausing() {
			return errPaused
		}
	}
}

func (r *run) rebindPage(ctx context.Context, page []symbolon.Finding) error {
	var handovers []*handover
	for _, f := range page {
		h, err := r.formerOwner(ctx, f)
		if err != nil {
			return err
		}
		if h != nil {
			handovers = append(handovers, h)
		}
	}
	var ids []symbolon.IdentityID
	for _, h := range handovers {
		if h.from != "" {
			ids = append(ids, h.from)
		}
	}
	failed := r.state.Failed
	proofs, err := r.prove(ctx, ids)
	if err != nil || r.state.Failed > failed {
		return err
	}
	byID := map[symbolon.IdentityID]*symbolon.GoneProof{}
	for i := range proofs {
		byID[proofs[i].Identity()] = &proofs[i]
	}
	errs := make([]error, len(handovers))
	atOnce(len(handovers), func(i int) {
		h := handovers[i]
		if h.proof = byID[h.from]; h.proof != nil {
			_, errs[i] = r.Linker.Rebind(ctx, h.to, *h.proof)
			return
		}
		// The other identity is there after all, or has lost the user: decided anew.
		_, errs[i] = r.Linker.Refresh(ctx, h.to, symbolon.ByReconcile)
	})
	repairs := make([]*repair, len(errs))
	for i, err := range errs {
		repairs[i] = &repair{kind: symbolon.RecreatedIdentity, err: err}
	}
	return r.judgeRepairs(ctx, repairs)
}

// formerOwner finds whose user an identity on hold claims. nil: it is on hold no more.
func (r *run) formerOwner(ctx context.Context, f symbolon.Finding) (*handover, error) {
	q := symbolon.Query{Project: r.project(), Seen: symbolon.Seen{Identity: symbolon.Identity{ID: f.Identity}}, Claims: []symbolon.UserID{f.User}}
	held, err := r.Linker.Store.Look(ctx, q)
	if err != nil {
		return nil, err
	}
	if held.Link == nil || held.Link.State != symbolon.OnHold || held.Link.Reason != symbolon.RecreatedIdentity {
		return nil, nil
	}
	h := &handover{to: f.Identity, from: held.Claims[0].Owner()}
	if h.from == h.to {
		h.from = ""
	}
	return h, nil
}

// errPaused ends a slice: the run goes on later.
var errPaused = errors.New("the run was paused")
