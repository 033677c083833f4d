package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// Kind is what runs are called in [Runs].
const Kind = "reconcile"

// Runs keeps how far a run came. *sqlstore.Store is one.
type Runs interface {
	// UnfinishedRun returns the project's run of a kind that has not ended, dead or
	// alive, or ErrNotFound.
	UnfinishedRun(ctx context.Context, project, kind string) (symbolon.Run, error)

	// StartRun notes a new run. ErrConflict: one of its kind has not ended.
	StartRun(ctx context.Context, r symbolon.Run) error

	// SaveRun writes down how far a run is, or how it ended. ErrConflict: its lease is
	// no longer that of before.
	SaveRun(ctx context.Context, before, r symbolon.Run) error
}

// DefaultLease is how long a dead run keeps others away.
const DefaultLease = 30 * time.Second

func (r *Reconciler) lease() time.Duration {
	if r.Lease > 0 {
		return r.Lease
	}
	return DefaultLease
}

// resting is the run that this process paused last: it knows more than its checkpoint.
type resting struct {
	mu  sync.Mutex
	run *run
}

// open begins a run, or takes up the one that rests or died.
func (r *Reconciler) open(ctx context.Context, o Options) (*run, error) {
	fresh := r.newRun(o)
	if !o.Repair {
		return fresh, nil
	}
	r.resting.mu.Lock()
	rests := r.resting.run
	r.resting.run = nil
	r.resting.mu.Unlock()
	if r.Runs == nil {
		if rests != nil && o.Resume {
			return rests, nil
		}
		return fresh, nil
	}
	found, err := r.Runs.UnfinishedRun(ctx, r.project(), Kind)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return fresh, nil
	case err != nil:
		return nil, err
	case found.LeaseUntil.After(r.now()):
		return nil, fmt.Errorf("%w: run %s, until %s at least", ErrBusy, found.ID, found.LeaseUntil.Format(time.TimeOnly))
	}
	fresh.place.row, fresh.place.taken = found, true
	if o.Resume {
		if rests != nil && rests.place.row.ID == found.ID && rests.place.row.LeaseUntil.Equal(found.LeaseUntil.Truncate(time.Microsecond)) {
			fresh.state, fresh.findings, fresh.failure = rests.state, rests.findings, rests.failure
		} else if s, err := readCheckpoint(found.Checkpoint, r.now()); err == nil {
			fresh.state = s
		} else {
			o.Resume = false
		}
	}
	if !o.Resume {
		if err := fresh.end(ctx, symbolon.RunFailed, "given up for a new run"); err != nil {
			return nil, err
		}
		return r.newRun(o), nil
	}
	fresh.takeUp()
	return fresh, fresh.succeed(ctx)
}

// succeed takes the place of a run that rests or died. Whoever gets no answer leaves it
// to the next one.
func (r *run) succeed(ctx context.Context) error {
	saving, cancel := r.writing(ctx)
	defer cancel()
	err := r.save(saving)
	if err != nil && !errors.Is(err, ErrBusy) {
		releasing, cancelReleasing := r.writing(ctx)
		defer cancelReleasing()
		_ = r.release(releasing) // what could not be written ends with the lease
	}
	return err
}

// takeUp goes by the options that the run began with.
func (r *run) takeUp() {
	s := r.state
	o := s.Options
	r.options.Rebind, r.options.Only, r.options.AllowMissing = o.Rebind, o.Only, o.AllowMissing
	r.pace.identities = s.Walk.Identities
	r.pace.share = s.share()
}

// keep has work done while the run is written down every now and then.
func (r *run) keep(ctx context.Context, work func(context.Context) error) error {
	if r.Runs == nil || !r.options.Repair {
		return r.rest(work(ctx))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.renew(ctx, cancel)
	}()
	err := work(ctx)
	lost := context.Cause(ctx)
	cancel(nil)
	<-done
	if err != nil && errors.Is(lost, ErrBusy) {
		return lost
	}
	closing, cancelClosing := r.writing(ctx)
	defer cancelClosing()
	return r.rest(r.close(closing, err))
}

// rest keeps a paused run in memory.
func (r *run) rest(err error) error {
	if errors.Is(err, errPaused) {
		r.resting.mu.Lock()
		defer r.resting.mu.Unlock()
		r.resting.run = r
	}
	return err
}

// renew writes the run down until ctx ends. A run that lasts is written down even while
// it only looks.
func (r *run) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	t := time.NewTicker(r.lease() / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := r.stay(ctx); errors.Is(err, ErrBusy) {
			cancel(err)
			return
		}
	}
}

func (r *run) stay(ctx context.Context) error {
	ctx, cancel := r.writing(ctx)
	defer cancel()
	if err := r.claim(ctx); err != nil {
		return err
	}
	return r.save(ctx)
}

// writing is a context for writing the run down that the end of the work does not
// break off: nobody would know whether it was written.
func (r *run) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// claim writes a new run down, so that it is the only one.
func (r *run) claim(ctx context.Context) error {
	if r.Runs == nil || !r.options.Repair {
		return nil
	}
	return busy(r.place.take(ctx, r.Runs, func() (symbolon.Run, error) {
		row := symbolon.Run{ID: r.options.ID, Project: r.project(), Kind: Kind, State: symbolon.RunGoing, LeaseUntil: r.leaseEnd()}
		if row.ID == "" {
			row.ID = string((&mint.Minter{}).Mint(r.now()))
		}
		var err error
		row.Checkpoint, err = r.checkpoint()
		return row, err
	}))
}

// save writes down how far the run is, and renews its lease.
func (r *run) save(ctx context.Context) error {
	checkpoint, err := r.checkpoint()
	if err != nil {
		return err
	}
	return r.update(ctx, func(row *symbolon.Run) { row.Checkpoint, row.LeaseUntil = checkpoint, r.leaseEnd() })
}

// end writes down that the run is over.
func (r *run) end(ctx context.Context, s symbolon.RunState, why string) error {
	return r.update(ctx, func(row *symbolon.Run) {
		row.State, row.Detail, row.Checkpoint = s, why, nil
		row.EndedAt, row.LeaseUntil = r.now(), r.now()
	})
}

func (r *run) update(ctx context.Context, change func(*symbolon.Run)) error {
	if r.Runs == nil {
		return nil
	}
	return r.place.change(ctx, r.Runs, change)
}

func (r *run) checkpoint() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.checkpoint()
}

// leaseEnd is whole microseconds, as the store keeps it.
func (r *run) leaseEnd() time.Time { return r.now().Add(r.lease()).UTC().Truncate(time.Microsecond) }

// close writes down how work ended. A run that was paused, or ended by an outage, is
// left for whoever comes next.
func (r *run) close(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return r.end(ctx, symbolon.RunDone, "")
	case errors.Is(err, ErrBusy):
		return err
	case errors.Is(err, errPaused):
		if claimed := r.claim(ctx); claimed != nil {
			return claimed
		}
		if released := r.release(ctx); released != nil {
			return released
		}
	case passing(err):
		_ = r.release(ctx) // what could not be written ends with the lease
	default:
		_ = r.end(ctx, symbolon.RunFailed, "it could not be carried out: see the log")
	}
	return err
}

func (r *run) release(ctx context.Context) error {
	checkpoint, err := r.checkpoint()
	if err != nil {
		return err
	}
	return r.update(ctx, func(row *symbolon.Run) {
		row.Checkpoint, row.LeaseUntil = checkpoint, r.now().UTC().Truncate(time.Microsecond)
	})
}
