package erase_test

import (
	"context"
	"iter"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// meddling is a ledger that calls a function before it is read, or before findings are
// recorded.
type meddling struct {
	*sqlstore.Store
	beforeEntries, beforeFindings func()
}

func once(f *func()) {
	if run := *f; run != nil {
		*f = nil
		run()
	}
}

func (m *meddling) Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error) {
	once(&m.beforeEntries)
	return m.Store.Entries(ctx, project, after, upto, limit)
}

func (m *meddling) RecordFindings(ctx context.Context, project string, source symbolon.Source, open, closed []symbolon.Finding) error {
	if len(open) > 0 {
		once(&m.beforeFindings)
	}
	return m.Store.RecordFindings(ctx, project, source, open, closed)
}

func (w *world) reconciler(ledger reconcile.Ledger) *reconcile.Reconciler {
	return &reconcile.Reconciler{Linker: w.linker, Ledger: ledger, Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		return w.client.Identities(ctx, ory.ListOptions{From: from})
	}}
}

// TestEraseBesideReconcile erases a person between the two readings of a reconcile run: the
// listing has the identity, and the ledger says erased. No finding is opened, unless a backup
// of Ory restores the identity after the erasure.
func TestEraseBesideReconcile(t *testing.T) {
	tests := []struct {
		name  string
		erase func(w *world, id string) // between the listing and the ledger
		late  func(w *world, id string) // before the findings are recorded
		want  int
	}{
		{"erased", func(w *world, id string) { w.erase(erase.Request{ID: id}) }, nil, 0},
		{"denied, and deleted at Ory later", func(w *world, id string) {
			_, err := w.erasures.Begin(w.Context(), erase.Request{ID: id})
			w.must(err)
		}, nil, 0},
		{"while Ory cannot delete it", func(w *world, id string) {
			defer w.ory.Break(fakeory.Failing{Route: "DELETE /admin/identities/*"})()
			begun, err := w.erasures.Begin(w.Context(), erase.Request{ID: id})
			w.must(err)
			_, _ = w.erasures.Run(w.Context(), begun.ID)
		}, nil, 0},
		{"after the ledger was read", nil, func(w *world, id string) { w.erase(erase.Request{ID: id}) }, 0},
		{"restored after the erasure", func(w *world, id string) {
			w.erase(erase.Request{ID: id})
			w.ory.PutIdentity(map[string]any{"id": id, "traits": map[string]any{"email": "trait.back@example.com"}})
		}, nil, 1},
	}
	onBoth(t, sqlstore.Users{}, func(w *world) {
		w.linked()
		for _, test := range tests {
			p, _ := w.linked()
			ledger := &meddling{Store: w.store}
			if test.erase != nil {
				ledger.beforeEntries = func() { test.erase(w, p.IdentityID) }
			}
			if test.late != nil { // the run finds somebody else's value
				w.must(w.ory.PatchIdentity(w.Context(), p.IdentityID, []map[string]any{{"op": "add", "path": "/metadata_public", "value": map[string]any{"id": "foreign"}}}))
				ledger.beforeFindings = func() { test.late(w, p.IdentityID) }
			}
			report, err := w.reconciler(ledger).Run(w.Context(), reconcile.Options{Repair: true})
			if err != nil || ledger.beforeEntries != nil || ledger.beforeFindings != nil {
				w.Errorf("%s: %+v %v", test.name, report, err)
			}
			if n := report.Found[symbolon.IdentityReturned]; n != test.want {
				w.Errorf("%s: the run found %d returned identities, want %d", test.name, n, test.want)
			}
			var open int
			w.must(w.db.QueryRow(`select count(*) from `+w.table("findings")+` where identity_id = $1 and closed_at is null`, p.IdentityID).Scan(&open))
			if open != test.want {
				w.Errorf("%s: %d open findings, want %d", test.name, open, test.want)
			}
		}
	})
}
