package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// together is how many repairs are made together.
const together = 500

// patience is how many repairs in a row may find Ory or the store unavailable before
// the run gives up.
const patience = 10

// mend lists everybody once more and has each difference mended. The ticket comes
// before the listing, so that whatever was read later than it, by a hook or by another
// run, is never written over.
func (r *run) mend(ctx context.Context, ticket bool) error {
	m := &mender{run: r}
	if ticket {
		var err error
		if m.ticket, err = r.Linker.Store.Ticket(ctx); err != nil {
			return fmt.Errorf("take a ticket: %w", err)
		}
	}
	m.scan = scan{run: r, phase: Mending, visit: m.visit}
	return m.scan.walk(ctx)
}

type mender struct {
	*run
	scan   scan
	ticket symbolon.Ticket // 0: none was needed
	inRow  int             // failures without a success between
}

// repair is one difference on its way.
type repair struct {
	identity symbolon.Identity
	kind     symbolon.FindingKind
	err      error
}

func (m *mender) visit(ctx context.Context, pairs []pair) error {
	var repairs []*repair
	for _, p := range pairs {
		if p.identity == nil {
			continue
		}
		j, err := m.judge(ctx, p)
		if err != nil {
			return err
		}
		for _, f := range j.findings {
			m.scan.differ++
			if Mends(f.Kind) && (m.ticket > 0 || !numbered(f.Kind)) {
				repairs = append(repairs, &repair{identity: *p.identity, kind: f.Kind})
			}
		}
	}
	for len(repairs) > 0 {
		n := min(len(repairs), together)
		m.carryOut(ctx, repairs[:n])
		if err := m.judgeRepairs(ctx, repairs[:n]); err != nil {
			return err
		}
		repairs = repairs[n:]
	}
	return nil
}

// carryOut makes the repairs and waits for all of them.
func (m *mender) carryOut(ctx context.Context, repairs []*repair) {
	seen := make([]symbolon.Seen, len(repairs))
	for i, r := range repairs {
		seen[i] = symbolon.Seen{Identity: r.identity, Ticket: m.ticket, Way: symbolon.ByReconcile, Admin: true}
	}
	for i, result := range m.Linker.LinkAll(ctx, seen) {
		repairs[i].err = result.Err
	}
}

// judgeRepairs counts. What failed is tried again by the next run; a store or an Ory
// that is down ends this one.
func (m *mender) judgeRepairs(ctx context.Context, repairs []*repair) error {
	for _, r := range repairs {
		var denied *symbolon.DenyError
		switch {
		case r.err == nil:
			m.mended[r.kind]++
			m.done++
			m.inRow = 0
		case errors.As(r.err, &denied):
			m.denied++
			m.inRow = 0
		case errors.Is(r.err, symbolon.ErrNotFound): // deleted at Ory meanwhile
		default:
			m.fail(r.err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.inRow >= patience {
		return fmt.Errorf("%d repairs failed: %w", m.failed, m.failure)
	}
	return nil
}

func (m *mender) fail(err error) {
	m.failed++
	if m.failure == nil {
		m.failure = err
	}
	if errors.Is(err, symbolon.ErrUnavailable) {
		m.inRow++
	}
}
