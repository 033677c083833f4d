package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/reconcile"
)

// slice is about how long one call of Pass works. Another replica goes on where this
// one stopped, or, somewhat later, where it was killed.
const slice = 30 * time.Second

// hangs is when a call of Pass is taken to hang. A proof waits for its turns at Ory:
// where the limit is low, for many minutes.
const hangs = time.Hour

// busyPause lies between two looks whether the run that is at work still is, or was
// killed and its lease has ended.
const busyPause = 10 * time.Second

// passes are the comparisons that the server makes by itself. They repair everything but
// identities that were recreated: those wait for the operator's word.
type passes struct {
	reconciler *reconcile.Reconciler
	metrics    *metrics
	log        *slog.Logger
}

// Pass works for about half a minute, or a proof longer. done: the pass is over, and the
// pause may begin; otherwise it is to be called again at once. After an error it may be
// called again whenever that pleases: it goes on where it was if it can.
func (p *passes) Pass(ctx context.Context) (done bool, err error) {
	report, done, err := p.reconciler.Work(ctx, reconcile.Options{}, slice)
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		p.log.Debug("reconcile: another run is at work, or was killed a moment ago", "again_in", busyPause)
		return false, work.Again(busyPause)
	case err == nil && !done:
		return false, nil
	}
	p.metrics.reconciled(err)
	logReport(p.log, report, err)
	return err == nil, err
}

// logReport says how a run ended: as a warning where somebody should look.
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
