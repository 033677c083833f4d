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

// How many identities are proved gone behind one gap. Ory's limit may allow no more than
// a few questions a minute, and a proof keeps for ten minutes; where answers come
// quickly each batch is larger than the one before.
const (
	firstBatch = 50
	lastBatch  = 1000
	quickly    = 20 * time.Second
)

// bury has everybody who is missing proved gone, batch by batch, and ends their bonds.
// Whoever Ory has after all is left, and so is whoever it did not answer for.
func (r *run) bury(ctx context.Context) error {
	for {
		some := r.toBury()
		if len(some) == 0 {
			return ctx.Err()
		}
		ids := make([]symbolon.IdentityID, len(some))
		for i, a := range some {
			ids[i] = a.Identity
		}
		p, err := r.prove(ctx, ids)
		if errors.Is(err, errNothingProved) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.buryProven(ctx, some, p); err != nil {
			return err
		}
		r.note(func(s *state) {
			s.Missing = slices.DeleteFunc(s.Missing, func(a absence) bool { return slices.Contains(ids, a.Identity) })
		})
		if r.pausing() {
			return errPaused
		}
	}
}

// toBury are the next ones.
func (r *run) toBury() (some []absence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.state.Missing {
		if r.ends(a) && len(some) < r.batch {
			some = append(some, a)
		}
	}
	return some
}

func (r *run) buryProven(ctx context.Context, some []absence, p proven) error {
	some = slices.DeleteFunc(some, func(a absence) bool { return p.of[a.Identity] == nil })
	repairs := make([]*repair, len(some))
	atOnce(len(some), func(i int) {
		a := some[i]
		_, err := r.Linker.EndGone(ctx, *p.of[a.Identity])
		if err == nil && a.Kind == symbolon.RowKept {
			err = r.stillKept(ctx, a.Identity)
		}
		repairs[i] = &repair{kind: a.Kind, err: err}
	})
	return r.judgeRepairs(ctx, repairs)
}

// ends reports whether burying does anything about an absence.
func (r *run) ends(a absence) bool { return a.Held || r.buries(a.Kind) }

// buries reports whether a run buries for a kind. A row that is only to be deactivated
// or emptied is not tried again by itself: it may have a new life by now, and the
// operator's word ([Reconciler.RepairFinding]) is needed.
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

// proven is what a proof came to.
type proven struct {
	of      map[symbolon.IdentityID]*link.GoneProof
	unknown []symbolon.IdentityID // Ory did not answer for them
}

// errNothingProved: of nobody; that is counted as one failure.
var errNothingProved = errors.New("nobody was proved gone")

// prove returns the proofs that there are. What keeps it from knowing is counted as one
// failure, and whom it concerns is not touched.
func (r *run) prove(ctx context.Context, ids []symbolon.IdentityID) (p proven, err error) {
	p.of = map[symbolon.IdentityID]*link.GoneProof{}
	if len(ids) == 0 {
		return p, nil
	}
	var proofs []link.GoneProof
	if r.state.Control == "" {
		err = fmt.Errorf("there is no identity that is known and that Ory has, to prove by it that it answers truly: %w", symbolon.ErrUnavailable)
	} else {
		proofs, err = r.timed(ctx, ids)
	}
	for i := range proofs {
		p.of[proofs[i].Identity()] = &proofs[i]
	}
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	if err == nil {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(fmt.Errorf("prove %d identities gone: %w", len(ids), err))
	var unproved *link.UnprovedError
	if !errors.As(err, &unproved) {
		return p, errNothingProved
	}
	p.unknown = unproved.Identities
	return p, nil
}

// timed proves a batch, and makes the next one larger if that went quickly.
func (r *run) timed(ctx context.Context, ids []symbolon.IdentityID) ([]link.GoneProof, error) {
	began, gap := time.Now(), r.Linker.ProofGap
	if gap <= 0 {
		gap = link.DefaultProofGap
	}
	proofs, err := r.Linker.ProveGone(ctx, ids, r.state.Control)
	if err == nil && time.Since(began)-gap < quickly {
		r.batch = min(4*r.batch, lastBatch)
	}
	return proofs, err
}

// handover is one identity on hold and the one whose user it claims.
type handover struct {
	to, from symbolon.IdentityID
}

// rebind gives identities that were recreated their users back, batch by batch. The
// ledger's findings say who they are, so that nobody has to be listed for it.
func (r *run) rebind(ctx context.Context) error {
	r.mu.Lock()
	at := r.state.At
	r.mu.Unlock()
	for {
		page, err := r.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: r.project(), Kind: symbolon.RecreatedIdentity, After: at, Limit: r.batch})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := r.rebindPage(ctx, page); errors.Is(err, errNothingProved) {
			return nil
		} else if err != nil {
			return err
		}
		at = page[len(page)-1].Identity
		r.note(func(s *state) {
			s.At = at
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
	p, err := r.prove(ctx, ids)
	if err != nil {
		return err
	}
	handovers = slices.DeleteFunc(handovers, func(h *handover) bool { return slices.Contains(p.unknown, h.from) })
	repairs := make([]*repair, len(handovers))
	atOnce(len(handovers), func(i int) {
		h := handovers[i]
		var err error
		if proof := p.of[h.from]; proof != nil {
			_, err = r.Linker.Rebind(ctx, h.to, *proof)
		} else { // the other identity is there after all, or has lost the user: decided anew
			_, err = r.Linker.Refresh(ctx, h.to, symbolon.FromReconcile)
		}
		repairs[i] = &repair{kind: symbolon.RecreatedIdentity, err: err}
	})
	return r.judgeRepairs(ctx, repairs)
}

// formerOwner finds whose user an identity on hold claims. nil: it is on hold no more.
func (r *run) formerOwner(ctx context.Context, f symbolon.Finding) (*handover, error) {
	q := symbolon.Query{Project: r.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: f.Identity}}, Claims: []symbolon.UserID{f.User}}
	held, err := r.Linker.Store.Read(ctx, q)
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
