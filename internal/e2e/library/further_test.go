package library

import (
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/reconcile"
)

// TestFurtherIdentityIsDeleted deletes a further identity at Kratos, where rows are deleted with
// their identities. A comparison of everybody ends its link, and the user's row stays.
func TestFurtherIdentityIsDeleted(t *testing.T) {
	t.Parallel()
	withAccountsOnOne(t, setup{admin: true}, func(t *testing.T, w *world) {
		w.linker.OnIdentityDeleted = symbolon.DeleteRow
		home, work := w.signUp(w.mail("home")), w.signUp(w.mail("work"))
		w.get(home.Token)
		w.get(work.Token)
		into, from := w.linked(home.IdentityID), w.linked(work.IdentityID)
		if _, err := w.linker.Merge(t.Context(), from, into, link.MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := w.kratos.DeleteIdentity(t.Context(), work.IdentityID); err != nil {
			t.Fatal(err)
		}
		r := w.reconciler(nil)
		r.Now = func() time.Time { return time.Now().Add(time.Hour) } // the link is old enough
		for _, changes := range []int{1, 0} {
			report, err := r.Run(t.Context(), reconcile.Options{Repair: true, AllowMissing: 1})
			if err != nil || report.Repaired[reconcile.OrphanUser] != changes {
				t.Errorf("%+v, %v", report, err)
			}
		}
		if state := w.record(work.IdentityID).Link.State; state != symbolon.Gone {
			t.Errorf("the further identity is %s", state)
		}
		if n := w.db.int(`select count(*) from accounts where ory_identity_id = $1`, home.IdentityID); n != 1 || w.linked(home.IdentityID) != into {
			t.Error("the end of the further identity reached the row")
		}
	})
}
