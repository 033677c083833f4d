package erase_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestErasesEveryIdentity erases a person who has two identities, one of them after a merge, by
// the ID of the further identity. Both identities and both rows are erased. A further identity
// that was taken away before is not.
func TestErasesEveryIdentity(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		first, into := w.linked()
		second, from := w.linked()
		apart, own := w.linked()
		_, err := w.linker.Merge(w.Context(), own, into, link.MergeOptions{})
		w.must(err)
		_, err = w.linker.Merge(w.Context(), from, into, link.MergeOptions{Why: "ticket 8812"})
		w.must(err)
		_, err = w.linker.Unlink(w.Context(), symbolon.IdentityID(apart.IdentityID), "")
		w.must(err)

		plan := w.plan(erase.Request{ID: second.IdentityID})
		if plan.User != into || string(plan.Identity) != first.IdentityID || !slices.Equal(plan.Further, []symbolon.IdentityID{symbolon.IdentityID(second.IdentityID)}) {
			w.Errorf("plan: %+v", plan)
		}
		if behind := usersOf(plan.Behind); !slices.Equal(behind, []symbolon.UserID{from}) {
			w.Errorf("rows left behind: %v", behind)
		}
		e := w.erase(erase.Request{ID: second.IdentityID, Why: "ticket 8813"})
		if e.User != into || string(e.Identity) != first.IdentityID || !strings.Contains(outcome(e, erase.StepIdentity), second.IdentityID) {
			w.Errorf("%+v", e)
		}
		for _, id := range []string{first.IdentityID, second.IdentityID} {
			if w.atOry(id) || w.state(id) != symbolon.Erased {
				w.Errorf("identity %s is at Ory: %t, %s", id, w.atOry(id), w.state(id))
			}
		}
		w.traceless(first.Email, second.Email, nameOf(first), nameOf(second))
		if !w.atOry(apart.IdentityID) {
			w.Error("an identity that was taken away before was erased")
		}
		if again := w.erase(erase.Request{ID: first.IdentityID}); again.ID != e.ID {
			w.Error("a complete erasure was begun again")
		}
	})
}
