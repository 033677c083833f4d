package system

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
)

// Reconciler returns the reconciler of the system.
func (s *System) Reconciler() *reconcile.Reconciler {
	return &reconcile.Reconciler{Linker: s.Linker, Ledger: s.Store, Runs: s.Store,
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return s.Ory.Identities(ctx, ory.ListOptions{From: from})
		}}
}

// RunPatience is how long a request of a run waits for its turn. It is long enough for the
// lowest rate limit: a request that gave up would end the listing, and the next run would
// begin it again.
const RunPatience = 5 * time.Minute

// WithinLoad returns the context of a run that uses a share of Ory's rate limit. 1 is all of
// it.
func WithinLoad(ctx context.Context, load float64) context.Context {
	if load >= 1 {
		return ctx
	}
	return symbolon.Background(ctx, RunPatience)
}

// KindNames lists the kinds of findings, for messages.
func KindNames() string {
	var names []string
	for _, k := range reconcile.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// RunSummary is the JSON of a report without its findings.
type RunSummary struct {
	Complete        bool                         `json:"complete"`
	Identities      int                          `json:"identities"`
	Linked          int                          `json:"linked"`
	Forgotten       int                          `json:"forgotten"`
	NoBackReference int                          `json:"no_back_reference"`
	Left            map[symbolon.FindingKind]int `json:"left"`
	Repaired        map[symbolon.FindingKind]int `json:"repaired"`
	Denied          int                          `json:"denied"`
	Failed          int                          `json:"failed"`
}

// SummaryOf converts a report.
func SummaryOf(r reconcile.Report) RunSummary {
	return RunSummary{r.Complete, r.Identities, r.Linked, r.Forgotten, r.NoBackReference, r.Found, r.Repaired, r.Denied, r.Failed}
}
