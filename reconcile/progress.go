package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/dbtime"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/mint"
)

// Kind is the kind of a reconcile run in [Runs].
const Kind = "reconcile"

// Runs stores runs and their progress. *sqlstore.Store implements it.
type Runs interface {
	// Clock returns the time of the store. Leases go by it, because the clocks of two
	// processes may differ.
	Clock(ctx context.Context) (time.Time, error)

	// UnfinishedRun returns the project's unfinished run of this kind, even if the run's
	// process has died. ErrNotFound: there is none.
	UnfinishedRun(ctx context.Context, project, kind string) (symbolon.Run, error)

	// StartRun records a new run. ErrConflict: another run of its kind has not ended.
	StartRun(ctx context.Context, r symbolon.Run) error

	// SaveRun records the progress of a run, or its end. The parameter before is the run as
	// it was read or saved last. ErrConflict: another process has taken over the lease
	// since, or the run has ended.
	SaveRun(ctx context.Context, before, r symbolon.Run) error
}

// DefaultLease is the default of Reconciler.Lease.
const DefaultLease = 30 * time.Second

func (r *Reconciler) leaseTime() time.Duration {
	if r.Lease > 0 {
		return r.Lease
	}
	return DefaultLease
}

// begin starts a run, or takes over the unfinished one.
func (r *Reconciler) begin(ctx context.Context, o Options) (*run, error) {
	fresh := r.newRun(o)
	if !o.Repair {
		return fresh, nil
	}
	paused := r.paused.Swap(nil)
	if r.Runs == nil {
		if paused != nil && o.Resume {
			return paused, nil
		}
		return fresh, nil
	}
	clock, err := dbtime.Read(ctx, r.Runs.Clock, r.now)
	if err != nil {
		return nil, err
	}
	fresh.clock = clock
	found, err := r.Runs.UnfinishedRun(ctx, r.project(), Kind)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return fresh, nil
	case err != nil:
		return nil, err
	case found.LeaseUntil.After(clock.Now()):
		return nil, fmt.Errorf("%w: run %s, until %s at least", ErrBusy, found.ID, found.LeaseUntil.Format(time.TimeOnly))
	}
	fresh.lease.row, fresh.lease.taken = found, true
	if o.Resume {
		if paused != nil && paused.lease.row.ID == found.ID && paused.lease.row.LeaseUntil.Equal(found.LeaseUntil.Truncate(time.Microsecond)) {
			fresh.state, fresh.findings, fresh.failure = paused.state, paused.findings, paused.failure
		} else if s, err := readCheckpoint(found.Checkpoint, r.now()); err == nil {
			fresh.state = s
		} else {
			o.Resume = false
		}
	}
	if !o.Resume {
		if err := fresh.end(ctx, symbolon.RunFailed, "replaced by a new run"); err != nil {
			return nil, err
		}
		fresh = r.newRun(o)
		fresh.clock = clock
		return fresh, nil
	}
	fresh.useSavedOptions()
	return fresh, fresh.takeOver(ctx)
}

// takeOver takes over the lease of a paused run, or of a run whose process died. If the
// write is not acknowledged, takeOver releases the lease, so that the next process can take
// over at once.
func (r *run) takeOver(ctx context.Context) error {
	saving, cancel := r.writeContext(ctx)
	defer cancel()
	err := r.save(saving)
	if err != nil && !errors.Is(err, ErrBusy) {
		releasing, cancelReleasing := r.writeContext(ctx)
		defer cancelReleasing()
		_ = r.release(releasing) // if this fails too, the lease runs out
	}
	return err
}

// useSavedOptions replaces the options by those with which the run began.
func (r *run) useSavedOptions() {
	s := r.state
	o := s.Options
	r.options.Rebind, r.options.Only, r.options.AllowMissing = o.Rebind, o.Only, o.AllowMissing
	r.baseline.identities = s.Walk.Identities
	r.baseline.share = s.share()
}

// runWithLease calls work and renews the lease until work returns.
func (r *run) runWithLease(ctx context.Context, work func(context.Context) error) error {
	if r.Runs == nil || !r.options.Repair {
		return r.keepPaused(work(ctx))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.renew(ctx, cancel)
	}()
	err := work(ctx)
	cause := context.Cause(ctx)
	cancel(nil)
	<-done
	if err != nil && errors.Is(cause, ErrBusy) {
		return cause
	}
	closing, cancelClosing := r.writeContext(ctx)
	defer cancelClosing()
	return r.keepPaused(r.close(closing, err))
}

// keepPaused keeps a paused run in memory.
func (r *run) keepPaused(err error) error {
	if errors.Is(err, errPaused) {
		r.paused.Store(r)
	}
	return err
}

// renew saves the run and its lease regularly until ctx ends. The first save records the
// run, even if the run has only compared so far.
func (r *run) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	t := time.NewTicker(r.leaseTime() / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := r.renewOnce(ctx); errors.Is(err, ErrBusy) {
			cancel(err)
			return
		}
	}
}

func (r *run) renewOnce(ctx context.Context) error {
	ctx, cancel := r.writeContext(ctx)
	defer cancel()
	if err := r.acquire(ctx); err != nil {
		return err
	}
	return r.save(ctx)
}

// saveTimeout is the limit of one attempt to save a run.
const saveTimeout = 5 * time.Second

// writeContext returns a context for saving the run. The end of the work does not cancel
// it, because after a cancelled write it would not be known whether the run was saved.
func (r *run) writeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return wait.Detached(ctx, saveTimeout)
}

// acquire records a new run and its lease, so that no other run can begin.
func (r *run) acquire(ctx context.Context) error {
	if r.Runs == nil || !r.options.Repair {
		return nil
	}
	return asBusy(r.lease.start(ctx, r.Runs, func() (symbolon.Run, error) {
		row := symbolon.Run{ID: r.options.ID, Project: r.project(), Kind: Kind, State: symbolon.RunGoing, LeaseUntil: r.leaseEnd()}
		if row.ID == "" {
			row.ID = string((&mint.Minter{}).Mint(r.now()))
		}
		var err error
		row.Checkpoint, err = r.checkpoint()
		return row, err
	}))
}

// save records the progress of the run and renews its lease.
func (r *run) save(ctx context.Context) error { return r.saveUntil(ctx, r.leaseEnd()) }

// release saves the run with a lease that ended a second ago, because two readings of the
// store's clock differ a little.
func (r *run) release(ctx context.Context) error {
	return r.saveUntil(ctx, r.clock.Now().Add(-time.Second).UTC().Truncate(time.Microsecond))
}

func (r *run) saveUntil(ctx context.Context, leaseEnd time.Time) error {
	checkpoint, err := r.checkpoint()
	if err != nil {
		return err
	}
	return r.update(ctx, func(row *symbolon.Run) { row.Checkpoint, row.LeaseUntil = checkpoint, leaseEnd })
}

// end records that the run is over.
func (r *run) end(ctx context.Context, s symbolon.RunState, why string) error {
	return r.update(ctx, func(row *symbolon.Run) {
		row.State, row.Detail, row.Checkpoint = s, why, nil
		row.EndedAt, row.LeaseUntil = r.now(), r.clock.Now()
	})
}

func (r *run) update(ctx context.Context, change func(*symbolon.Run)) error {
	if r.Runs == nil {
		return nil
	}
	return r.lease.updateRow(ctx, r.Runs, change)
}

func (r *run) checkpoint() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.checkpoint()
}

// leaseEnd is rounded to microseconds, because the store keeps no more.
func (r *run) leaseEnd() time.Time {
	return r.clock.Now().Add(r.leaseTime()).UTC().Truncate(time.Microsecond)
}

// close records how the work ended. It releases the lease of a run that was paused or
// that an outage ended, so that another process can continue it.
func (r *run) close(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return r.end(ctx, symbolon.RunDone, "")
	case errors.Is(err, ErrBusy):
		return err
	case errors.Is(err, errPaused):
		if claimed := r.acquire(ctx); claimed != nil {
			return claimed
		}
		if released := r.release(ctx); released != nil {
			return released
		}
	case canResume(err):
		_ = r.release(ctx) // if this fails too, the lease runs out
	default:
		_ = r.end(ctx, symbolon.RunFailed, "the run failed: see the log")
	}
	return err
}
