package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// findingsAPI shows the open findings and has single ones repaired.
type findingsAPI struct {
	store   *sqlstore.Store
	project string
	cursors *cursors
	repairs *repairs
	log     *slog.Logger
}

// openFinding is a finding that can be repaired.
type openFinding struct {
	ID int64 `json:"id"`
	system.Finding
	Repairable bool `json:"repairable"` // POST /admin/findings/{id}/repair does something about it
}

const (
	findingsPage    = 100 // by default
	maxFindingsPage = 1000
)

// list answers GET /admin/findings?kind=&after=&limit=.
func (h *findingsAPI) list(w http.ResponseWriter, r *http.Request) {
	q, err := h.query(r.URL.RawQuery)
	if err != nil {
		answer.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	limit := q.Limit
	q.Limit++ // one more tells whether there is more
	page, err := h.store.Findings(ctx, q)
	if err != nil {
		h.log.Warn("findings could not be read", "error", err)
		answer.Write(w, err)
		return
	}
	out := struct {
		Findings []openFinding `json:"findings"`
		Next     string        `json:"next,omitempty"` // the after of the next page; none: this is the last
	}{Findings: []openFinding{}}
	for _, f := range page[:min(len(page), limit)] {
		out.Findings = append(out.Findings, openFinding{f.ID, system.Finding{Kind: f.Kind, Identity: f.Identity, User: f.User, Detail: cli.Plain(f.Detail), At: f.At}, h.repairs.reconciler.CanRepair(f.Kind)})
	}
	if len(page) > limit {
		last := page[limit-1]
		out.Next = h.cursors.seal(h.bound(q.Kind), string(last.Identity), string(last.Kind))
	}
	answer.JSON(w, http.StatusOK, out)
}

// bound is what a cursor is good for.
func (h *findingsAPI) bound(kind symbolon.FindingKind) []string {
	return []string{"findings", h.project, string(kind)}
}

func (h *findingsAPI) query(raw string) (q symbolon.FindingsQuery, err error) {
	bad := func(message string) error { return answer.New(400, answer.InvalidRequest, message) }
	values, err := url.ParseQuery(raw)
	if err != nil || len(raw) > 4096 {
		return q, bad("The query cannot be read.")
	}
	for key, all := range values {
		if !slices.Contains([]string{"kind", "after", "limit"}, key) || len(all) != 1 {
			return q, bad("Send kind, after and limit, each at most once; nothing else.")
		}
	}
	q.Project, q.Limit, q.Kind = h.project, findingsPage, symbolon.FindingKind(values.Get("kind"))
	if values.Has("kind") && !slices.Contains(reconcile.Kinds(), q.Kind) {
		return q, noSuchKind
	}
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > maxFindingsPage || strconv.Itoa(n) != values.Get("limit") {
			return q, bad("limit must be a number from 1 to 1000.")
		}
		q.Limit = n
	}
	if values.Has("after") {
		at, err := h.cursors.open(h.bound(q.Kind), values.Get("after"))
		if err != nil || len(at) != 2 {
			return q, bad("after must be the next of a page of the same query, at most a day old.")
		}
		q.After, q.AfterKind = symbolon.IdentityID(at[0]), symbolon.FindingKind(at[1])
	}
	return q, nil
}

// repair answers POST /admin/findings/{id}/repair.
func (h *findingsAPI) repair(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	f, err := h.find(ctx, r.PathValue("id"))
	if err != nil {
		answer.Write(w, err)
		return
	}
	type outcome struct {
		Finding int64  `json:"finding"`
		State   string `json:"state"` // "repaired", or "proving": it takes deletion.proof_gap, and the finding is closed then
	}
	status, out := http.StatusOK, outcome{f.ID, "repaired"}
	switch {
	case !h.repairs.reconciler.CanRepair(f.Kind):
		err = reconcile.ErrByHand
	case reconcile.NeedsProof(f.Kind):
		status, out.State = http.StatusAccepted, "proving"
		err = h.repairs.later(f)
	default:
		err = h.repairs.reconciler.RepairFinding(ctx, f)
	}
	if err != nil {
		answer.Write(w, h.problem(err, f))
		return
	}
	answer.JSON(w, status, out)
}

func (h *findingsAPI) find(ctx context.Context, text string) (symbolon.Finding, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return symbolon.Finding{}, answer.New(400, answer.InvalidRequest, "A finding's ID is a number.")
	}
	f, err := h.store.Finding(ctx, h.project, id)
	if errors.Is(err, symbolon.ErrNotFound) {
		err = answer.New(404, answer.NotFound, "There is no open finding with this ID.")
	}
	return f, err
}

// problem is what the operator is told of a repair that failed.
func (h *findingsAPI) problem(err error, f symbolon.Finding) error {
	var deny *symbolon.DenyError
	var known *answer.Problem
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, reconcile.ErrByHand):
		return answer.New(409, answer.Conflict, "No repair settles a "+string(f.Kind)+": POST /admin/links says whose the identity is, or the application corrects its row.")
	case errors.As(err, &deny):
		return answer.New(409, answer.Conflict, "It is still so: "+cli.Plain(deny.Error()))
	case errors.Is(err, symbolon.ErrConflict):
		return answer.New(409, answer.Conflict, "It is still so: "+cli.Plain(f.Detail))
	}
	if answer.Of(err).Status >= 500 {
		h.log.Warn("finding could not be repaired", "finding", f.ID, "kind", f.Kind, "error", err)
	}
	return err
}
