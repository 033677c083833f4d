package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/reconcile"
)

// slice is the time for which one call of pass works, roughly. The next call, on any replica,
// continues at the place where this one stopped. After a replica was killed, others wait until
// the lease of the run has ended.
const slice = 30 * time.Second

// hangs is the time after which a call of pass is cancelled. It is long, because a proof waits
// for its requests to Ory, for many minutes if the rate limit is low.
const hangs = time.Hour

// busyPause is the time between two checks whether another run still holds the lease.
const busyPause = 10 * time.Second

// pass does one part of a scheduled run. It works for about half a minute, or longer if a page
// or a proof has to end first. It repairs everything except identities that were recreated,
// which need the operator's decision. Its requests to Ory use only the background's share of
// the rate limit. After an error it may be called again at any time, and continues if it can.
func (p *Server) pass(ctx context.Context, _ work.Job) error {
	report, done, err := p.repairs.reconciler.Work(symbolon.Background(ctx, system.RunPatience), reconcile.Options{}, slice)
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		p.log.Debug("reconcile: another run holds the lease", "again_in", busyPause)
		return work.Again(busyPause)
	case err == nil && !done:
		return work.Again(0)
	}
	p.metrics.reconciled(err)
	logReport(p.log, report, err)
	return err
}

// A run is treated as abandoned if its lease ended longer ago than this. Within this time
// the schedule itself repeats a run that an outage interrupted, so such a run is not
// abandoned.
const abandoned = 15 * time.Second

// abandonedRun reports whether there is an abandoned run, because its server or command has
// died or has lost its database. The schedule then begins at once and continues the run.
func (p *Server) abandonedRun(ctx context.Context) (bool, error) {
	run, err := p.Store.UnfinishedRun(ctx, p.Config.Ory.Project, reconcile.Kind)
	if errors.Is(err, symbolon.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := p.Store.Clock(ctx)
	return err == nil && now.Sub(run.LeaseUntil) > abandoned, err
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
