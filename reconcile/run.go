package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/dbtime"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// run is a run that this process works on.
type run struct {
	*Reconciler
	options Options
	rules   rules
	minter  *mint.Minter
	until   time.Time // when the run has to pause; zero: never

	mu            sync.Mutex // protects the five fields below
	state         *state
	batch         int // how many identities the next proof covers
	findings      []Finding
	failuresInRow int   // failures by an outage, without a success in between
	failure       error // the first failure

	progressMu sync.Mutex // one call of Options.Progress at a time
	baseline   baseline

	lease lease
	clock dbtime.Clock // set if there are Runs
}

// baseline is the progress of the phase when this process began or resumed it. Rates are
// computed from it.
type baseline struct {
	began      time.Time
	identities int
	share      float64
}

func (r *Reconciler) newRun(o Options) *run {
	b := r.Linker.BackReference.WithDefaults()
	return &run{Reconciler: r, options: o, rules: rules{key: b.Key, repair: b.Write == link.WriteRepair, when: r.Linker.When},
		minter: mint.NewMinter(r.project(), r.Linker.Secrets...), state: newState(o, r.now()), batch: firstBatch, baseline: baseline{began: r.now()}}
}

// all goes through the phases one after another.
func (r *run) all(ctx context.Context) error {
	for {
		if err := r.phase(ctx); err != nil && !errors.Is(err, errNothingProved) {
			return err
		}
		next := r.next()
		if next == "" {
			return nil
		}
		if err := r.acquire(ctx); err != nil {
			return err
		}
		r.note(func(s *state) {
			s.enter(next, r.now())
			r.findings, r.baseline = nil, baseline{began: r.now()}
		})
		if err := r.save(ctx); err != nil {
			return err
		}
		if r.pausing() {
			return errPaused
		}
	}
}

func (r *run) phase(ctx context.Context) error {
	switch r.state.Phase {
	case Repairing:
		return r.repairAll(ctx)
	case Rebinding:
		return r.rebind(ctx)
	case Ending:
		return r.endAll(ctx)
	}
	return r.look(ctx)
}

// next returns the next phase that has something to do. Empty: there is none.
func (r *run) next() Phase {
	if !r.options.Repair {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	found := s.Looked.Found
	if s.Phase == Looking {
		found = s.Walk.Found
	}
	after := false
	for _, p := range []struct {
		phase Phase
		due   bool
	}{
		{Looking, false},
		{Repairing, anyFound(found, duringWalk)},
		{Rebinding, r.options.Rebind && r.options.wants(symbolon.RecreatedIdentity) && (s.Rebind || found[symbolon.RecreatedIdentity] > 0)},
		{Ending, slices.ContainsFunc(s.Missing, r.canEnd)},
		{Settling, s.Phase != Looking || s.Walk.Changes > 0},
	} {
		if after && p.due {
			return p.phase
		}
		after = after || p.phase == s.Phase
	}
	return ""
}

// note changes the state and reports the progress.
func (r *run) note(f func(*state)) {
	r.mu.Lock()
	f(r.state)
	p := r.progress()
	r.mu.Unlock()
	if r.options.Progress == nil {
		return
	}
	r.progressMu.Lock()
	defer r.progressMu.Unlock()
	r.options.Progress(p)
}

func (r *run) progress() Progress {
	s := r.state
	p := Progress{Phase: s.Phase, Identities: s.Walk.Identities, Differences: s.Walk.Met, Share: s.share(), Elapsed: r.now().Sub(r.baseline.began)}
	for _, n := range s.Repaired {
		p.Repaired += n
	}

	if seconds := p.Elapsed.Seconds(); seconds > 0 {
		p.Rate = float64(p.Identities-r.baseline.identities) / seconds
	}
	if done := p.Share - r.baseline.share; done > 0.01 && p.Share < 1 {
		p.Left = time.Duration(float64(p.Elapsed) * (1 - p.Share) / done)
	}
	return p
}

func (r *run) pausing() bool { return !r.until.IsZero() && !r.now().Before(r.until) }

// report builds the report of a run that ended with err.
func (r *run) report(err error) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.state.report()
	out.Findings, out.Complete = r.findings, err == nil
	if r.lease.taken {
		out.ID = r.lease.row.ID
	}
	return out
}

// repairErrors is the error of a completed run in which repairs failed.
func (r *run) repairErrors() error {
	if r.failure == nil {
		return nil
	}
	return fmt.Errorf("%d of the repairs failed, the next run tries again: %w", r.state.Failed, r.failure)
}

// canResume reports whether the same run may continue later.
func canResume(err error) bool {
	return errors.Is(err, symbolon.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
