package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/symbolon-id/symbolon"
)

// lease is a run's row in Runs. It ensures that the project has one run at a time.
//
// If the connection breaks during a write, the write may or may not have been executed. So
// the lease remembers each row that it sent without getting an answer. The store holds the
// last confirmed row or one of these, and the next write replaces whichever it is. The zero
// lease is not taken yet. A lease may be used by many goroutines at once.
type lease struct {
	mu         sync.Mutex
	row        symbolon.Run   // the row that the store is known to hold; valid after the lease was taken
	unanswered []symbolon.Run // rows sent since then, without an answer
	taken      bool
}

// start takes the lease: it records the run that the function row returns. It does nothing
// if this process has the lease already.
func (p *lease) start(ctx context.Context, runs Runs, row func() (symbolon.Run, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken {
		return nil
	}
	next, err := row()
	if err != nil {
		return err
	}
	if len(p.unanswered) > 0 {
		next.ID = p.unanswered[0].ID
		if err = p.replace(ctx, runs, next); !errors.Is(err, symbolon.ErrConflict) {
			return err
		}
	}
	return p.noteWrite(next, runs.StartRun(ctx, next))
}

// updateRow saves the row after f changed it. A lease that was never taken has no row.
func (p *lease) updateRow(ctx context.Context, runs Runs, f func(*symbolon.Run)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := p.row
	if !p.taken {
		if len(p.unanswered) == 0 {
			return nil
		}
		row = p.unanswered[0]
	}
	f(&row)
	err := p.replace(ctx, runs, row)
	if !p.taken && errors.Is(err, symbolon.ErrConflict) {
		return nil // the write without an answer had not been executed
	}
	return asBusy(err)
}

// replace saves row in place of the version that the store holds. This may be any version
// that was sent.
func (p *lease) replace(ctx context.Context, runs Runs, row symbolon.Run) error {
	versions := slices.Clone(p.unanswered)
	if p.taken {
		versions = slices.Insert(versions, 0, p.row)
	}
	err := symbolon.ErrConflict
	for i := 0; i < len(versions) && errors.Is(err, symbolon.ErrConflict); i++ {
		err = runs.SaveRun(ctx, versions[i], row)
	}
	return p.noteWrite(row, err)
}

// noteWrite notes the result of writing row.
func (p *lease) noteWrite(row symbolon.Run, err error) error {
	switch {
	case err == nil:
		p.row, p.unanswered, p.taken = row, nil, true
	case !errors.Is(err, symbolon.ErrConflict):
		p.unanswered = append(p.unanswered, row)
	}
	return err
}

func asBusy(err error) error {
	if errors.Is(err, symbolon.ErrConflict) {
		return fmt.Errorf("%w: it took over the lease", ErrBusy)
	}
	return err
}
