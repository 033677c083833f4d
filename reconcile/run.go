package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// run is one run while it is at work.
type run struct {
	*Reconciler
	options Options
	rules   rules
	minter  *mint.Minter
	until   time.Time // it pauses then; zero: never

	mu       sync.Mutex
	state    *state
	batch    int // of proofs
	findings []Finding
	inRow    int   // failures without a success between
	failure  error // the first one

	telling sync.Mutex
	pace    pace

	place place
}

// pace is since when how many identities are behind.
type pace struct {
	began      time.Time
	identities int
	share      float64
}

func (r *Reconciler) newRun(o Options) *run {
	b := r.Linker.BackReference.WithDefaults()
	return &run{Reconciler: r, options: o, rules: rules{key: b.Key, repair: b.Write == link.WriteRepair},
		minter: mint.NewMinter(r.project(), r.Linker.Secrets...), state: newState(o, r.now()), batch: firstBatch, pace: pace{began: r.now()}}
}

// all goes through the phases.
func (r *run) all(ctx context.Context) error {
	for {
		if err := r.phase(ctx); err != nil {
			return err
		}
		next := r.next()
		if next == "" {
			return nil
		}
		if err := r.claim(ctx); err != nil {
			return err
		}
		r.note(func(s *state) {
			s.enter(next, r.now())
			r.findings, r.pace = nil, pace{began: r.now()}
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
	case Mending:
		return r.mend(ctx)
	case Rebinding:
		return r.rebind(ctx)
	case Burying:
		return r.bury(ctx)
	}
	return r.look(ctx)
}

// next is the phase behind this one in which there is something to do.
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
	behind := false
	for _, p := range []struct {
		phase Phase
		due   bool
	}{
		{Looking, false},
		{Mending, anyFound(found, byWalk)},
		{Rebinding, r.options.Rebind && r.options.wants(symbolon.RecreatedIdentity) && (s.Rebind || found[symbolon.RecreatedIdentity] > 0)},
		{Burying, slices.ContainsFunc(s.Missing, r.ends)},
		{Settling, s.Phase != Looking || s.Walk.Changes > 0},
	} {
		if behind && p.due {
			return p.phase
		}
		behind = behind || p.phase == s.Phase
	}
	return ""
}

// note changes the state and tells how far it is.
func (r *run) note(f func(*state)) {
	r.mu.Lock()
	f(r.state)
	p := r.progress()
	r.mu.Unlock()
	if r.options.Progress == nil {
		return
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	r.options.Progress(p)
}

func (r *run) progress() Progress {
	s := r.state
	p := Progress{Phase: s.Phase, Identities: s.Walk.Identities, Differences: s.Walk.Met, Share: s.share(), Elapsed: r.now().Sub(r.pace.began)}
	for _, n := range s.Mended {
		p.Mended += n
	}

	if seconds := p.Elapsed.Seconds(); seconds > 0 {
		p.Rate = float64(p.Identities-r.pace.identities) / seconds
	}
	if done := p.Share - r.pace.share; done > 0.01 && p.Share < 1 {
		p.Left = time.Duration(float64(p.Elapsed) * (1 - p.Share) / done)
	}
	return p
}

func (r *run) pausing() bool { return !r.until.IsZero() && !r.now().Before(r.until) }

// report is what the run has to say when work ended with err.
func (r *run) report(err error) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.state.report()
	out.Findings, out.Complete = r.findings, err == nil
	if r.place.taken {
		out.ID = r.place.row.ID
	}
	return out
}

// conclude is the error that a run which came to its end leaves.
func (r *run) conclude() error {
	if r.failure == nil {
		return nil
	}
	return fmt.Errorf("%d repairs failed, the next run tries again: %w", r.state.Failed, r.failure)
}

// passing says that the same run may well go on later.
func passing(err error) bool {
	return errors.Is(err, symbolon.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
