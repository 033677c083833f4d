package main

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
)

// reconciler compares this system's halves.
func (s *system) reconciler() *reconcile.Reconciler {
	return &reconcile.Reconciler{Linker: s.linker, Ledger: s.store, Runs: s.store,
		Identities: func(ctx context.Context, from, to symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return s.ory.Identities(ctx, ory.ListOptions{From: from, To: to})
		}}
}

// runPatience is how long a question of a run waits for its turn, at the lowest of limits:
// one that gave up would end the listing, and the next run would begin it anew.
const runPatience = 5 * time.Minute

func withinLoad(ctx context.Context, load float64) context.Context {
	if load >= 1 {
		return ctx
	}
	return symbolon.Background(ctx, runPatience)
}

func kindNames() string {
	var names []string
	for _, k := range reconcile.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// summaryFields are a report without the findings themselves.
type summaryFields struct {
	Complete        bool                         `json:"complete"`
	Identities      int                          `json:"identities"`
	Linked          int                          `json:"linked"`
	Forgotten       int                          `json:"forgotten"`
	NoBackReference int                          `json:"no_back_reference"`
	Left            map[symbolon.FindingKind]int `json:"left"`
	Mended          map[symbolon.FindingKind]int `json:"mended"`
	Denied          int                          `json:"denied"`
	Failed          int                          `json:"failed"`
}

func summaryOf(r reconcile.Report) summaryFields {
	return summaryFields{r.Complete, r.Identities, r.Linked, r.Forgotten, r.NoBackReference, r.Found, r.Mended, r.Denied, r.Failed}
}
