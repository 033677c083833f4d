package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/pool"
	"github.com/symbolon-id/symbolon/link"
)

// The number of identities that share one proof gap. It begins small: a proof is valid for
// only ten minutes, and at a low rate limit Ory may answer only a few requests a minute. If
// the answers come quickly, each batch is larger than the previous one.
const (
	firstBatch = 50
	lastBatch  = 1000
	quickProof = 20 * time.Second
)

// endAll proves the missing identities gone, batch by batch, and ends their links. It
// changes nothing for an identity that Ory still has, or for which Ory gave no answer.
func (r *run) endAll(ctx context.Context) error {
	for {
		some := r.nextMissing()
		if len(some) == 0 {
			return ctx.Err()
		}
		ids := make([]symbolon.IdentityID, len(some))
		for i, a := range some {
			ids[i] = a.Identity
		}
		p, err := r.prove(ctx, ids)
		if err != nil {
			return err
		}
		if err := r.endProven(ctx, some, p); err != nil {
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

// nextMissing returns the next batch.
func (r *run) nextMissing() (some []absence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.state.Missing {
		if r.canEnd(a) && len(some) < r.batch {
			some = append(some, a)
		}
	}
	return some
}

func (r *run) endProven(ctx context.Context, some []absence, p proven) error {
	some = slices.DeleteFunc(some, func(a absence) bool { return p.of[a.Identity] == nil })
	repairs := make([]*repair, len(some))
	pool.Each(len(some), workers, func(i int) {
		a := some[i]
		_, err := r.Linker.EndGone(ctx, *p.of[a.Identity])
		if err == nil && a.Kind == symbolon.RowKept {
			err = r.checkRowDone(ctx, a.Identity)
		}
		repairs[i] = &repair{kind: a.Kind, err: err}
	})
	return r.countResults(ctx, repairs)
}

// canEnd reports whether phase Ending acts on a missing identity.
func (r *run) canEnd(a absence) bool { return a.Held || r.canEndKind(a.Kind) }

// canEndKind reports whether phase Ending acts on a kind. If the policy is keep or
// deactivate, a row with the finding RowKept is not tried again automatically, because the
// row may be in use again. The operator can repair the row ([Reconciler.RepairFinding]).
func (r *Reconciler) canEndKind(k symbolon.FindingKind) bool {
	p := r.Linker.OnIdentityDeleted
	return k == OrphanUser || p == symbolon.DeleteRow || p == symbolon.AnonymiseRow
}

// checkRowDone returns a conflict if the table refused the change of the row again.
func (r *Reconciler) checkRowDone(ctx context.Context, id symbolon.IdentityID) error {
	open, err := r.openOf(ctx, id)
	if err == nil && (pair{open: open}).isOpen(symbolon.RowKept) != nil {
		err = fmt.Errorf("the row of identity %s is kept: %w", id, symbolon.ErrConflict)
	}
	return err
}

// proven is the result of a proof.
type proven struct {
	of      map[symbolon.IdentityID]*link.GoneProof
	unknown []symbolon.IdentityID // Ory gave no answer for them
}

// errNothingProved: the proof failed for all of its identities. It is counted as one
// failure, and ends the phase.
var errNothingProved = errors.New("no identity was proved gone")

// prove returns a proof for each identity that is gone. An error of Ory counts as one
// failure, and nothing is changed for the identities that it concerns.
func (r *run) prove(ctx context.Context, ids []symbolon.IdentityID) (p proven, err error) {
	p.of = map[symbolon.IdentityID]*link.GoneProof{}
	if len(ids) == 0 {
		return p, nil
	}
	proofs, err := r.proveBatch(ctx, ids)
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
	unproved, ok := errors.AsType[*link.UnprovedError](err)
	if !ok {
		return p, errNothingProved
	}
	p.unknown = unproved.Identities
	return p, nil
}

// proveBatch proves a batch. If this was quick, it enlarges the next batch.
func (r *run) proveBatch(ctx context.Context, ids []symbolon.IdentityID) ([]link.GoneProof, error) {
	if r.state.Control == "" {
		return nil, fmt.Errorf("a proof needs an identity that the ledger knows and Ory has, and there is none: %w", symbolon.ErrUnavailable)
	}
	began, gap := time.Now(), r.Linker.ProofGap
	if gap <= 0 {
		gap = link.DefaultProofGap
	}
	proofs, err := r.Linker.ProveGone(ctx, ids, r.state.Control)
	if err == nil && time.Since(began)-gap < quickProof {
		r.batch = min(4*r.batch, lastBatch)
	}
	return proofs, err
}

// handover is an identity on hold (to), and the identity whose user it claims (from).
type handover struct {
	to, from symbolon.IdentityID
}

// rebind moves users to identities that were recreated, batch by batch. It finds them in
// the ledger's findings, so it needs no listing.
func (r *run) rebind(ctx context.Context) error {
	at := r.state.At
	for {
		page, err := r.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: r.project(), Kind: symbolon.RecreatedIdentity, After: at, Limit: r.batch})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := r.rebindPage(ctx, page); err != nil {
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
	var ids []symbolon.IdentityID
	for _, f := range page {
		h, err := r.formerOwner(ctx, f)
		if err != nil {
			return err
		}
		if h == nil {
			continue
		}
		handovers = append(handovers, h)
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
	pool.Each(len(handovers), workers, func(i int) {
		h := handovers[i]
		var err error
		if proof := p.of[h.from]; proof != nil {
			_, err = r.Linker.Rebind(ctx, h.to, *proof)
		} else { // Ory still has the other identity, or that identity no longer has the user: decide again
			_, err = r.Linker.Refresh(ctx, h.to, symbolon.FromReconcile)
		}
		repairs[i] = &repair{kind: symbolon.RecreatedIdentity, err: err}
	})
	return r.countResults(ctx, repairs)
}

// formerOwner finds the identity whose user an identity on hold claims. It returns nil if
// that identity is no longer on hold.
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

// errPaused ends a slice of work. The run continues later.
var errPaused = errors.New("the run was paused")
