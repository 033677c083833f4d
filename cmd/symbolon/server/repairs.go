package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/reconcile"
)

// repairs is what the operator has started over the admin API: runs over everybody, one
// at a time, and single repairs that wait for a proof. It lives as long as the process;
// a run with repair that a restart ends is taken up by the schedule.
type repairs struct {
	reconciler *reconcile.Reconciler
	load       float64 // the share of Ory that runs take
	metrics    *metrics
	log        *slog.Logger

	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	runs   []*operatorRun // the newest last
	busy   map[int64]bool // findings that are being repaired
}

// keepRuns is how many of the operator's runs can be asked after.
const keepRuns = 20

// maxProofs bounds the single repairs under way.
const maxProofs = 20

func newRepairs(r *reconcile.Reconciler, load float64, m *metrics, log *slog.Logger) *repairs {
	out := &repairs{reconciler: r, load: load, metrics: m, log: log, busy: map[int64]bool{}}
	out.ctx, out.cancel = context.WithCancel(context.Background())
	return out
}

// close ends what is under way and waits for it.
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
	Report *system.RunSummary `json:"report,omitempty"` // when it has ended
}

// start answers POST /admin/reconcile.
func (h *repairs) start(w http.ResponseWriter, r *http.Request) {
	o, err := parseReconcile(r)
	if err == nil {
		err = h.begin(&o)
	}
	if err != nil {
		answer.Write(w, err)
		return
	}
	answer.JSON(w, http.StatusAccepted, map[string]any{"run": operatorRun{ID: o.ID, Repair: o.Repair, State: symbolon.RunGoing}})
}

// show answers GET /admin/reconcile/{id}.
func (h *repairs) show(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, run := range h.runs {
		if run.ID == r.PathValue("id") {
			answer.JSON(w, http.StatusOK, map[string]any{"run": *run})
			return
		}
	}
	answer.Write(w, answer.New(404, answer.NotFound, "There is no such run: the server remembers the last 20 since its start."))
}

var errAtWork = answer.New(409, answer.Conflict, "A run is at work already. Try again when it is done.")

// begin starts a run and names it.
func (h *repairs) begin(o *reconcile.Options) error {
	if !h.reconciler.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	o.ID = string((&mint.Minter{}).Mint(timeNow()))
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

// parseReconcile reads {"repair", "only", "allow_missing"}, or no body at all. A key
// that is not understood is refused.
func parseReconcile(r *http.Request) (o reconcile.Options, err error) {
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return o, nil
	}
	body, err := answer.ReadJSON(r, maxAdminBody)
	if err != nil {
		return o, err
	}
	object, err := strictjson.Object(body)
	if err != nil {
		return o, answer.New(400, answer.InvalidJSON, "The body cannot be used: "+err.Error()+".")
	}
	for key, raw := range object {
		switch key {
		case "repair":
			err = json.Unmarshal(raw, &o.Repair)
		case "only":
			err = json.Unmarshal(raw, &o.Only)
		case "allow_missing":
			err = json.Unmarshal(raw, &o.AllowMissing)
		default:
			err = errors.New("unknown")
		}
		if err != nil || string(raw) == "null" || o.AllowMissing < 0 {
			return o, answer.New(400, answer.InvalidRequest, "Send repair as true or false, only as a list of kinds and allow_missing as a number; nothing else.")
		}
	}
	for _, kind := range o.Only {
		if !slices.Contains(reconcile.Kinds(), kind) {
			return o, noSuchKind
		}
	}
	o.Rebind = o.Repair
	return o, nil
}

var noSuchKind = answer.New(400, answer.InvalidRequest, "There is no such kind of finding. The kinds: "+system.KindNames()+".")

// later repairs a finding that waits for a proof.
func (h *repairs) later(f symbolon.Finding) error {
	if !h.reconciler.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.busy[f.ID]:
		return nil // under way already
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
