package server

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
)

// TestRunsArePaced checks that a run that an operator starts uses the same share of Ory's
// rate limit as the schedule.
func TestRunsArePaced(t *testing.T) {
	i := install(t, func(c *config.Config) { c.Reconcile.Load = "40%" })
	var patient, listed bool
	var patience symbolon.Patience
	i.repairs.reconciler.Identities = func(ctx context.Context, _ symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		patience, patient = symbolon.PatienceFrom(ctx)
		listed = true
		return func(func(symbolon.Identity, error) bool) {}
	}
	if i.reconcileNow(t, ""); !listed || !patient {
		t.Errorf("over the admin API: listed %v, paced %v", listed, patient)
	}
	if patience.For = 0; i.pass(t.Context(), work.Job{}) != nil || patience.For < 2*time.Minute {
		t.Errorf("the schedule gives up after waiting %v. It may ask once a minute (a tenth of ten), so it must wait for at least two minutes", patience.For)
	}
}
