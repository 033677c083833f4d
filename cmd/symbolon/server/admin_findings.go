package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// findings shows the open findings and repairs single ones.
type findings struct {
	store   *sqlstore.Store
	project string
	cursors *cursors
	repairs *repairs

	// notAdopted returns the finding of a project whose start is not settled, or nil. It has
	// no ID and no identity.
	notAdopted func(context.Context) (*symbolon.Finding, error)
}

// openFinding is a finding and its ID.
type openFinding struct {
	ID int64 `json:"id"`
	system.Finding
	Repairable bool `json:"repairable"` // POST /admin/findings/{id}/repair can repair it
}

const (
	findingsPage    = 100 // by default
	maxFindingsPage = 1000
)

// list answers GET /admin/findings?kind=&after=&limit=.
func (h *findings) list(r *http.Request) (any, error) {
	q, err := h.query(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	q.Limit++ // one more than is shown: it proves that there is a next page
	page, err := h.store.Findings(r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := struct {
		Findings []openFinding `json:"findings"`
		Next     string        `json:"next,omitempty"` // the value of after for the next page; empty on the last page
	}{Findings: []openFinding{}}
	if q.After == "" && q.AfterKind == "" && (q.Kind == "" || q.Kind == symbolon.NotAdopted) {
		f, err := h.notAdopted(r.Context())
		if err != nil {
			return nil, err
		}
		if f != nil { // beyond the limit of the first page
			out.Findings = append(out.Findings, openFinding{Finding: system.FindingOf(*f)})
		}
	}
	for _, f := range page[:min(len(page), limit)] {
		f.Detail = cli.Plain(f.Detail)
		out.Findings = append(out.Findings, openFinding{f.ID, system.FindingOf(f), h.repairs.reconciler.CanRepair(f.Kind)})
	}
	if len(page) > limit {
		last := page[limit-1]
		out.Next = h.cursors.seal(h.bound(q.Kind), string(last.Identity), string(last.Kind))
	}
	return out, nil
}

// bound is the query that a cursor belongs to.
func (h *findings) bound(kind symbolon.FindingKind) []string {
	return []string{"findings", h.project, string(kind)}
}

func (h *findings) query(raw string) (q symbolon.FindingsQuery, err error) {
	values, err := parseQuery(raw, "The query may have kind, after and limit, once each.", "kind", "after", "limit")
	if err != nil {
		return q, err
	}
	q.Project, q.Limit, q.Kind = h.project, findingsPage, symbolon.FindingKind(values.Get("kind"))
	if values.Has("kind") && !slices.Contains(reconcile.Kinds(), q.Kind) {
		return q, noSuchKind
	}
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > maxFindingsPage || strconv.Itoa(n) != values.Get("limit") {
			return q, badRequest("limit must be a number from 1 to 1000.")
		}
		q.Limit = n
	}
	if values.Has("after") {
		at, err := h.cursors.open(h.bound(q.Kind), values.Get("after"))
		if err != nil || len(at) != 2 {
			return q, badRequest("after must be the value of next from an earlier page of the same query, at most a day old.")
		}
		q.After, q.AfterKind = symbolon.IdentityID(at[0]), symbolon.FindingKind(at[1])
	}
	return q, nil
}

// repair answers POST /admin/findings/{id}/repair.
func (h *findings) repair(r *http.Request) (any, error) {
	f, err := h.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	type outcome struct {
		Finding int64  `json:"finding"`
		State   string `json:"state"` // "repaired", or "proving": the proof takes deletion.proof_gap, and then closes the finding
	}
	switch {
	case !h.repairs.reconciler.CanRepair(f.Kind):
		err = reconcile.ErrByHand
	case reconcile.NeedsProof(f.Kind):
		if err = h.repairs.later(f); err == nil {
			return accepted{body: outcome{f.ID, "proving"}}, nil
		}
	default:
		err = h.repairs.reconciler.RepairFinding(r.Context(), f)
	}
	return outcome{f.ID, "repaired"}, problem(err, f)
}

func (h *findings) find(ctx context.Context, text string) (symbolon.Finding, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return symbolon.Finding{}, badRequest("A finding's ID must be a number.")
	}
	f, err := h.store.Finding(ctx, h.project, id)
	if errors.Is(err, symbolon.ErrNotFound) {
		err = answer.New(404, answer.NotFound, "There is no open finding with this ID.")
	}
	return f, err
}

// problem is the answer for a repair that failed; nil if err is nil.
func problem(err error, f symbolon.Finding) error {
	var deny *symbolon.DenyError
	conflict := func(message string) error { return answer.New(409, answer.Conflict, message) }
	switch {
	case errors.Is(err, reconcile.ErrByHand):
		return conflict("A finding of kind " + string(f.Kind) + " has no automatic repair: bind the identity by POST /admin/links, or correct the application's row.")
	case errors.As(err, &deny):
		return conflict("The difference still exists: " + cli.Plain(deny.Error()))
	case errors.Is(err, symbolon.ErrConflict):
		return conflict("The difference still exists: " + cli.Plain(f.Detail))
	case err != nil:
		return fmt.Errorf("repair finding %d (%s): %w", f.ID, f.Kind, err)
	}
	return nil
}
