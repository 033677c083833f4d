package library

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestSwappedAddresses has two people swap their addresses at Kratos. One does it on the
// settings page, and Kratos calls the sync hook. The other's address is changed by the admin
// API, for which Kratos calls no hook. Their table has the addresses in a unique column.
func TestSwappedAddresses(t *testing.T) {
	t.Parallel()
	withAccounts(t, setup{admin: true, link: true}, func(t *testing.T, w *world) {
		annMail, bobMail := w.mail("ann"), w.mail("bob")
		ann, bob := w.signUp(annMail), w.signUp(bobMail)
		for _, p := range []*symbolontest.Person{ann, bob} {
			w.eventually("the person is linked", func() bool { return w.linked(p.IdentityID) != "" })
		}
		has := func(p *symbolontest.Person, email string) bool {
			return w.db.int(`select count(*) from accounts where ory_identity_id = $1 and email = $2`, p.IdentityID, email) == 1
		}
		if !has(ann, annMail) || !has(bob, bobMail) {
			t.Fatal("the table has other addresses than Ory")
		}
		w.patch(ann.IdentityID, w.mail("between")) // Kratos lets nobody have an address twice
		w.patch(bob.IdentityID, annMail)
		w.changeAddress(ann, bobMail)
		w.eventually("the rows have swapped their addresses", func() bool { return has(ann, bobMail) && has(bob, annMail) })
		for _, p := range []*symbolontest.Person{ann, bob} {
			if found := w.findings(p.IdentityID); found != "" {
				t.Errorf("findings %q", found)
			}
		}

		// Back again, and every hook is lost.
		w.patch(ann.IdentityID, w.mail("between"))
		w.patch(bob.IdentityID, bobMail)
		w.patch(ann.IdentityID, annMail)
		if report := w.reconcile(reconcile.Options{Repair: true}); len(report.Found) > 0 || !has(ann, annMail) || !has(bob, bobMail) {
			t.Errorf("after a comparison with Ory: found %v, Ann's row is right: %t, Bob's: %t", report.Found, has(ann, annMail), has(bob, bobMail))
		}
	})
}

// changeAddress changes a person's address on the settings page.
func (w *world) changeAddress(p *symbolontest.Person, email string) {
	w.t.Helper()
	var flow struct{ ID string }
	w.settings(http.MethodGet, "/self-service/settings/api", p.Token, nil, &flow)
	traits := map[string]any{"email": email, "name": "Ann"}
	w.settings(http.MethodPost, "/self-service/settings?flow="+flow.ID, p.Token, map[string]any{"method": "profile", "traits": traits}, nil)
}

func (w *world) settings(method, path, token string, in, out any) {
	w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.kratos.PublicURL+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-Session-Token", token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(answer, out)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
