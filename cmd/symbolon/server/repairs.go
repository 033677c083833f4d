package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/reconcile"
)

// repairs are the runs that the operator has started, one at a time, and the repairs of single
// findings that wait for a proof. They live in the memory of the process. If a restart
// interrupts a run with repair, the schedule resumes the run.
type repairs struct {
	reconciler *reconcile.Reconciler
	load       float64 // the share of Ory's rate limit that a run uses
	metrics    *metrics
	log        *slog.Logger

	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	wg     sync.WaitGroup // the goroutines of runs and proofs

	// mu protects the rest.
	mu     sync.Mutex
	closed bool
	runs   []*operatorRun // the newest last
	busy   map[int64]bool // findings that are being repaired
}

const (
	keepRuns  = 20 // the runs that GET /admin/reconcile/{id} can show
	maxProofs = 20 // repairs of single findings at the same time
)

func newRepairs(r *reconcile.Reconciler, load float64, m *metrics, log *slog.Logger) *repairs {
	out := &repairs{reconciler: r, load: load, metrics: m, log: log, busy: map[int64]bool{}}
	out.ctx, out.cancel = context.WithCancel(context.Background())
	return out
}

// close cancels the runs and proofs, and waits for them.
func (h *repairs) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.wg.Wait()
}

// operatorRun is a run as GET /admin/reconcile/{id} shows it.
type operatorRun struct {
	ID     string             `json:"id"`
	Repair bool               `json:"repair"`
	State  symbolon.RunState  `json:"state"`
	Error  string             `json:"error,omitempty"`
	Report *system.RunSummary `json:"report,omitempty"` // once the run has ended
}

// start answers POST /admin/reconcile.
func (h *repairs) start(r *http.Request) (any, error) {
	o, err := parseReconcile(r)
	if err == nil {
		err = h.begin(&o)
	}
	return accepted{body: runBody(operatorRun{ID: o.ID, Repair: o.Repair, State: symbolon.RunGoing})}, err
}

func runBody(run operatorRun) any { return map[string]operatorRun{"run": run} }

// show answers GET /admin/reconcile/{id}.
func (h *repairs) show(r *http.Request) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, run := range h.runs {
		if run.ID == r.PathValue("id") {
			return runBody(*run), nil
		}
	}
	return nil, answer.New(404, answer.NotFound, "There is no such run. The server remembers only the last 20 runs since its start.")
}

var errAtWork = answer.New(409, answer.Conflict, "A run is under way already. Try again when it is done.")

// begin starts a run and names it.
func (h *repairs) begin(o *reconcile.Options) error {
	if !h.reconciler.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	o.ID = string((&mint.Minter{}).Mint(time.Now()))
	run := &operatorRun{ID: o.ID, Repair: o.Repair, State: symbolon.RunGoing}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.runs); h.closed || n > 0 && h.runs[n-1].State == symbolon.RunGoing {
		return errAtWork
	}
	h.runs = append(h.runs[max(0, len(h.runs)-keepRuns+1):], run)
	options := *o
	h.wg.Go(func() {
		report, err := h.reconciler.Run(system.WithinLoad(h.ctx, h.load), options)
		h.metrics.reconciled(err)
		logReport(h.log, report, err)
		h.mu.Lock()
		defer h.mu.Unlock()
		fields := system.SummaryOf(report)
		run.State, run.Report = symbolon.RunDone, &fields
		if err != nil {
			run.State, run.Error = symbolon.RunFailed, err.Error()
		}
	})
	return nil
}

// parseReconcile reads {"repair", "only", "allow_missing"}, or no body at all.
func parseReconcile(r *http.Request) (o reconcile.Options, err error) {
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return o, nil
	}
	body, err := readBody(r)
	if err != nil {
		return o, err
	}
	const usage = "The body may have these keys: repair (true or false), only (a list of kinds), allow_missing (a number)."
	if err := parseObject(body, usage, map[string]any{"repair": &o.Repair, "only": &o.Only, "allow_missing": &o.AllowMissing}); err != nil {
		return o, err
	}
	if o.AllowMissing < 0 {
		return o, badRequest(usage)
	}
	for _, kind := range o.Only {
		if !slices.Contains(reconcile.Kinds(), kind) {
			return o, noSuchKind
		}
	}
	o.Rebind = o.Repair
	return o, nil
}

var noSuchKind = badRequest("There is no such kind of finding. The kinds: " + system.KindNames() + ".")

// later repairs a finding in the background, because its proof takes deletion.proof_gap.
func (h *repairs) later(f symbolon.Finding) error {
	if !h.reconciler.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.busy[f.ID]:
		return nil // it is being repaired
	case h.closed || len(h.busy) >= maxProofs:
		return answer.New(503, answer.Unavailable, fmt.Sprintf("%d repairs are under way already. Try again later, or start a run.", len(h.busy)))
	}
	h.busy[f.ID] = true
	h.wg.Go(func() {
		err := h.reconciler.RepairFinding(h.ctx, f)
		if err != nil {
			h.log.Warn("finding not repaired", "finding", f.ID, "kind", f.Kind, "identity", f.Identity, "error", err)
		} else {
			h.log.Info("finding repaired", "finding", f.ID, "kind", f.Kind, "identity", f.Identity)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.busy, f.ID)
	})
	return nil
}
