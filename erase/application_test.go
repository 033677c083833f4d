package erase_test

import (
	"context"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// maker is an application that makes its users itself, and counts its calls.
type maker struct{ asked int }

func (m *maker) Create(_ context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	m.asked++
	return symbolon.UserID("app-" + string(id.ID)), nil
}

// TestApplicationsUsers erases a user that the application created. Symbolon has only a row
// with two IDs for such a user. It deletes this row, and the user's ID stays retired. The
// evidence says that the user's own row belongs to the application.
func TestApplicationsUsers(t *testing.T) {
	onBoth(t, sqlstore.Users{NewID: sqlstore.ByApplication}, func(w *world) {
		app := &maker{}
		w.linker.Creator = app
		p, user := w.linked()
		other, _ := w.linked()
		known, err := w.client.Identity(w.Context(), symbolon.IdentityID(p.IdentityID))
		w.must(err)
		plan, err := w.erasures.Plan(w.Context(), erase.Request{ID: string(user)})
		if err != nil || !plan.Application || !plan.Exists {
			w.Errorf("%+v %v", plan, err)
		}
		e := w.erase(erase.Request{ID: string(user)})
		if got := outcome(e, erase.StepRow); !strings.Contains(got, "belongs to the application") {
			w.Error(got)
		}
		if c, err := w.store.User(w.Context(), "default", user); err != nil || c.Row != nil || !c.Retired {
			w.Errorf("%+v %v", c, err)
		}
		asked := app.asked
		for _, way := range []symbolon.Source{symbolon.FromRequest, symbolon.FromLinkHook, symbolon.FromSyncHook} {
			if _, err := w.linker.Link(w.Context(), symbolon.Reading{Identity: known, Source: way}); err == nil {
				w.Errorf("a reading by %s restored the user", way)
			}
		}
		if app.asked != asked {
			w.Error("the application was asked for a user of an erased identity")
		}
		if w.atOry(p.IdentityID) || !w.atOry(other.IdentityID) {
			w.Error("at Ory")
		}
		w.traceless(p.Email)
	})
}
