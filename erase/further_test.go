package erase_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
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

// TestErasesNoNamesake erases people whose users have the IDs of each other's identities. A
// further identity belongs to its user, whatever identity has the user's ID as its own.
func TestErasesNoNamesake(t *testing.T) {
	onBoth(t, sqlstore.Users{NewID: sqlstore.ByIdentity}, func(w *world) {
		first, one := w.linked()
		second, two := w.linked()
		further := w.register()
		bind := func(p *symbolontest.Person, user symbolon.UserID, o symbolon.BindOptions) {
			w.Helper()
			_, err := w.linker.Bind(w.Context(), symbolon.IdentityID(p.IdentityID), user, o)
			w.must(err)
		}
		bind(second, one, symbolon.BindOptions{Move: true})
		bind(first, two, symbolon.BindOptions{Move: true})
		bind(further, one, symbolon.BindOptions{Also: true})

		plan := w.plan(erase.Request{ID: further.IdentityID})
		if plan.User != one || string(plan.Identity) != second.IdentityID || !slices.Equal(plan.Further, []symbolon.IdentityID{symbolon.IdentityID(further.IdentityID)}) {
			w.Errorf("by the further identity: %+v", plan)
		}
		if e := w.erase(erase.Request{ID: first.IdentityID}); e.User != two || w.atOry(first.IdentityID) {
			w.Errorf("%+v", e)
		}
		for _, p := range []*symbolontest.Person{second, further} {
			if !w.atOry(p.IdentityID) {
				w.Error("the erasure of a person deleted another person's identity")
			}
		}
		if e := w.erase(erase.Request{ID: further.IdentityID}); e.User != one || w.atOry(second.IdentityID) || w.atOry(further.IdentityID) {
			w.Errorf("%+v", e)
		}
	})
}
