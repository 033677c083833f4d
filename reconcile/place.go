package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/symbolon-id/symbolon"
)

// place is what makes a run the only one of its project: its row in Runs.
//
// A store that breaks off in the middle gives no answer, and may have carried out what
// it was sent. So a place remembers what it sent, and writes over whichever of these
// the store holds. The zero value has not been taken. Safe for concurrent use.
type place struct {
	mu    sync.Mutex
	row   symbolon.Run   // as the store is known to hold it, once taken
	sent  []symbolon.Run // since then, without an answer
	taken bool
}

// take notes the run that row returns as a new one. A place that is taken stays as it is.
func (p *place) take(ctx context.Context, runs Runs, row func() (symbolon.Run, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken {
		return nil
	}
	next, err := row()
	if err != nil {
		return err
	}
	if len(p.sent) > 0 {
		next.ID = p.sent[0].ID
		if err = p.over(ctx, runs, next); !errors.Is(err, symbolon.ErrConflict) {
			return err
		}
	}
	return p.wrote(next, runs.StartRun(ctx, next))
}

// change writes the row down as f leaves it. A place that was never taken has none.
func (p *place) change(ctx context.Context, runs Runs, f func(*symbolon.Run)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := p.row
	if !p.taken {
		if len(p.sent) == 0 {
			return nil
		}
		row = p.sent[0]
	}
	f(&row)
	err := p.over(ctx, runs, row)
	if !p.taken && errors.Is(err, symbolon.ErrConflict) {
		return nil // what was sent has not been carried out
	}
	return busy(err)
}

// over writes row over the form that the store holds.
func (p *place) over(ctx context.Context, runs Runs, row symbolon.Run) error {
	forms := slices.Clone(p.sent)
	if p.taken {
		forms = slices.Insert(forms, 0, p.row)
	}
	err := symbolon.ErrConflict
	for i := 0; i < len(forms) && errors.Is(err, symbolon.ErrConflict); i++ {
		err = runs.SaveRun(ctx, forms[i], row)
	}
	return p.wrote(row, err)
}

// wrote notes what came of writing row.
func (p *place) wrote(row symbolon.Run, err error) error {
	switch {
	case err == nil:
		p.row, p.sent, p.taken = row, nil, true
	case !errors.Is(err, symbolon.ErrConflict):
		p.sent = append(p.sent, row)
	}
	return err
}

func busy(err error) error {
	if errors.Is(err, symbolon.ErrConflict) {
		return fmt.Errorf("%w: it took this one's place", ErrBusy)
	}
	return err
}
