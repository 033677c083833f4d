package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// together is how many repairs are made together.
const together = 500

// patience is how many repairs in a row may find Ory or the store unavailable before
// the run gives up.
const patience = 10

// mend lists everybody once more and has each difference mended. The ticket comes
// before the listing, so that whatever was read later than it, by a hook or by another
// run, is never written over.
func (r *run) mend(ctx context.Context) error {
	if r.state.Ticket == 0 && anyFound(r.state.Looked.Found, numbered) {
		ticket, err := r.Linker.Store.Ticket(ctx)
		if err != nil {
			return fmt.Errorf("take a ticket: %w", err)
		}
		r.note(func(s *state) { s.Ticket = ticket })
	}
	return r.walk(ctx, r.mendPage)
}

// repair is one difference on its way.
type repair struct {
	identity symbolon.Identity
	kind     symbolon.FindingKind
	err      error
}

// mendPage is the visitor of a mending walk.
func (r *run) mendPage(ctx context.Context, pairs []pair) (func(*state), error) {
	var repairs []*repair
	var bare []symbolon.IdentityID // without a back-reference
	seen, absent, differ, recreated := 0, 0, 0, false
	for _, p := range pairs {
		if p.identity == nil {
			if p.state() == symbolon.Linked && !r.young(p) {
				absent++
			}
			continue
		}
		seen++
		j, _, err := r.judge(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, f := range j.findings {
			if !r.options.wants(f.Kind) {
				continue
			}
			differ++
			recreated = recreated || f.Kind == symbolon.RecreatedIdentity // held by the one who was killed here
			if byLink(f.Kind) && (r.state.Ticket > 0 || !numbered(f.Kind)) {
				repairs = append(repairs, &repair{identity: *p.identity, kind: f.Kind})
			}
			if f.Kind == symbolon.MissingBackReference {
				bare = append(bare, f.Identity)
			}
		}
	}
	if err := r.stillPlausible(absent); err != nil {
		return nil, err
	}
	for len(repairs) > 0 {
		n := min(len(repairs), together)
		r.carryOut(ctx, repairs[:n])
		if err := r.judgeRepairs(ctx, repairs[:n]); err != nil {
			return nil, err
		}
		repairs = repairs[n:]
	}
	if err := r.writeBack(ctx, bare); err != nil {
		return nil, err
	}
	return func(s *state) {
		s.Walk.Identities += seen
		s.Walk.Absent += absent
		s.Walk.Met += differ
		s.Rebind = s.Rebind || recreated
	}, nil
}

// carryOut makes the repairs and waits for all of them.
func (r *run) carryOut(ctx context.Context, repairs []*repair) {
	seen := make([]symbolon.Reading, len(repairs))
	for i, p := range repairs {
		seen[i] = symbolon.Reading{Identity: p.identity, Ticket: r.state.Ticket, Source: symbolon.FromReconcile, Admin: true, Rewrite: p.kind == StateMismatch}
	}
	for i, result := range r.Linker.LinkAll(ctx, seen) {
		repairs[i].err = result.Err
	}
}

// workers is how many are under way at once, of what is done one by one.
const workers = 8

// atOnce calls f for 0 to n-1, by a few workers, and waits for all of them.
func atOnce(n int, f func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := range work {
				f(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// writeBack writes back-references, one at a time and at the background's pace: each is
// an unlocked rewrite of the identity at Ory. A run that is to pause leaves the rest of
// the page to the next one, and so does whoever is at work on an identity.
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
		if err := r.judgeRepairs(ctx, []*repair{{kind: symbolon.MissingBackReference, err: err}}); err != nil {
			return err
		}
	}
	return nil
}

// judgeRepairs counts. What failed is tried again by the next run; a store or an Ory
// that is down ends this one.
func (r *run) judgeRepairs(ctx context.Context, repairs []*repair) error {
	for _, p := range repairs {
		r.judgeRepair(p.kind, p.err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inRow >= patience {
		return fmt.Errorf("%d repairs failed: %w", r.state.Failed, r.failure)
	}
	return nil
}

func (r *run) judgeRepair(kind symbolon.FindingKind, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var denied *symbolon.DenyError
	switch {
	case err == nil:
		r.state.Mended[kind]++
		r.inRow = 0
	case errors.As(err, &denied):
		r.state.Denied++
		r.state.Rebind = r.state.Rebind || denied.Finding == symbolon.RecreatedIdentity
		r.inRow = 0
	case errors.Is(err, symbolon.ErrConflict):
		r.state.Denied++
		r.inRow = 0
	case errors.Is(err, symbolon.ErrNotFound): // deleted at Ory meanwhile
	default:
		r.fail(err)
	}
}

// fail notes a failure; r.mu is held.
func (r *run) fail(err error) {
	r.state.Failed++
	if r.failure == nil {
		r.failure = err
	}
	if errors.Is(err, symbolon.ErrUnavailable) {
		r.inRow++
	}
}
