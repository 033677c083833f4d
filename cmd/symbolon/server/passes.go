package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/reconcile"
)

// slice is about how long one call of Pass works. The next call, on any replica, continues
// at the place where this one stopped. If the replica was killed, its lease ends first.
const slice = 30 * time.Second

// hangs is the time after which a call of Pass is cancelled. A proof waits for its requests
// to Ory, for many minutes if the rate limit is low.
const hangs = time.Hour

// busyPause is the time between two looks whether another run still holds the lease.
const busyPause = 10 * time.Second

// passes are the runs of the schedule. They repair everything except identities that were
// recreated, which need the operator's decision.
type passes struct {
	reconciler *reconcile.Reconciler
	metrics    *metrics
	log        *slog.Logger
}

// Pass works for about half a minute, or until a proof is complete. If done is false, the
// run is not over, and Pass must be called again at once. After an error it may be called
// again at any time, and continues if it can.
func (p *passes) Pass(ctx context.Context) (done bool, err error) {
	report, done, err := p.reconciler.Work(ctx, reconcile.Options{}, slice)
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		p.log.Debug("reconcile: another run holds the lease", "again_in", busyPause)
		return false, work.Again(busyPause)
	case err == nil && !done:
		return false, nil
	}
	p.metrics.reconciled(err)
	logReport(p.log, report, err)
	return err == nil, err
}

// logReport logs how a run ended. A run that failed is a warning.
func logReport(log *slog.Logger, r reconcile.Report, err error) {
	values := []any{"run", r.ID, "identities", r.Identities, "linked", r.Linked, "left", r.Left(), "repaired", r.Repaired, "denied", r.Denied, "failed", r.Failed}
	switch {
	case err != nil:
		log.Warn("reconcile ended early", append(values, "error", err)...)
	case len(r.Repaired) > 0:
		log.Info("reconciled", values...)
	default:
		log.Debug("reconciled", values...)
	}
}
