package library

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestMiddlewareAlone runs without hooks and without the admin API. The first request
// makes the user.
func TestMiddlewareAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, w *world) {
		p := w.signUp(mail("alone"))
		if got := w.linked(p.IdentityID); got != "" {
			t.Fatalf("linked to %s before the first request", got)
		}
		status, user := w.get(p.Token)
		if status != 200 || user == "" || w.linked(p.IdentityID) != symbolon.UserID(user) {
			t.Fatalf("the first request: %d %s; the ledger says %s", status, user, w.linked(p.IdentityID))
		}
		w.auth = w.newVerifier()
		if _, again := w.get(p.Token); again != user {
			t.Errorf("the second request got another user: %s", again)
		}
		if email := w.db.int(`select count(*) from symbolon_users where email = $1 and ory_identity_id = $2`, p.Email, p.IdentityID); email != 1 {
			t.Error("the row lacks the identity or the e-mail address")
		}
		w.oneToOne(1)
	})
}

// TestLinkHook checks that the user exists before the first request. By default nothing is
// written to Ory, and the missing ID is no finding.
func TestLinkHook(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{admin: true, link: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("hooked"))
		w.eventually("the identity is linked before the first request", func() bool { return w.linked(p.IdentityID) != "" })
		user := w.linked(p.IdentityID)
		if status, got := w.get(p.Token); status != 200 || got != string(user) {
			t.Errorf("the first request: %d %s, linked %s", status, got, user)
		}
		if got := w.reconcile(reconcile.Options{}); got.Left() != 0 || got.NoBackReference != 1 {
			t.Errorf("reconcile found %+v; %d without a back-reference", got.Found, got.NoBackReference)
		}
		if err := w.linker.Close(t.Context()); err != nil { // waits for a write
			t.Fatal(err)
		}
		if got := w.backReference(p.Token); got != "" {
			t.Errorf("Symbolon wrote the ID %s to Ory", got)
		}
		w.oneToOne(1)
	})
}

// TestLinkHookWithoutAdminURL checks that the body is believed because of the hook's key.
func TestLinkHookWithoutAdminURL(t *testing.T) {
	t.Parallel()
	onOne(t, setup{link: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("bodily"))
		w.eventually("the identity is linked before the first request", func() bool { return w.linked(p.IdentityID) != "" })
		if n := w.db.int(`select count(*) from symbolon_users where email = $1 and name = 'Ann'`, p.Email); n != 1 {
			t.Error("the columns of the body are missing")
		}
		if _, got := w.get(p.Token); got != string(w.linked(p.IdentityID)) {
			t.Errorf("another user: %s", got)
		}
	})
}

// TestReserveHook checks that the first whoami has the reserved ID and that Symbolon
// writes nothing to Ory.
func TestReserveHook(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("reserved"))
		born := w.backReference(p.Token)
		if born == "" {
			t.Fatal("the first whoami has no ID")
		}
		if status, got := w.get(p.Token); status != 200 || got != born {
			t.Errorf("the first request: %d %s, reserved %s", status, got, born)
		}
		if got := w.record(p.IdentityID).Link.BackReference; got != born {
			t.Errorf("the ledger says that Ory has the back-reference %q", got)
		}
		w.oneToOne(1)
	})
}

// TestDatabaseMakesTheID checks that there is no reserve hook for a key that SQLite makes, and
// that under WriteCreate one PATCH writes its ID to Ory.
func TestDatabaseMakesTheID(t *testing.T) {
	t.Parallel()
	s := setup{admin: true, link: true, reserve: true, write: link.WriteCreate}
	accountsOn(t, []sqlstore.Dialect{sqlstore.SQLite}, s, func(t *testing.T, w *world) {
		p := w.signUp(mail("serial"))
		w.eventually("the identity is linked", func() bool { return w.linked(p.IdentityID) != "" })
		w.eventually("Ory holds the ID", func() bool { return w.backReference(p.Token) == string(w.linked(p.IdentityID)) })
		if len(w.gate.of("/hooks/reserve")) != 0 {
			t.Error("there is a reserve hook, but SQLite makes the key")
		}
	})
}

// TestReservedSerial checks that the first whoami has the ID of a serial key, and that the user
// gets this ID by the body of the link hook and by the first request. A copy of the metadata
// in another identity gives nobody's user away.
func TestReservedSerial(t *testing.T) {
	t.Parallel()
	accountsOn(t, []sqlstore.Dialect{sqlstore.Postgres}, setup{link: true, reserve: true}, func(t *testing.T, w *world) {
		hooked, born := w.signUpReserved("hooked")
		w.eventually("the identity is linked", func() bool { return w.linked(hooked.IdentityID) != "" })
		if got := w.linked(hooked.IdentityID); string(got) != born {
			t.Errorf("the link hook made user %q, reserved %q", got, born)
		}
		w.gate.set(func() { w.gate.dropLink = true })
		p, born := w.signUpReserved("requested")
		if status, got := w.get(p.Token); status != 200 || got != born {
			t.Errorf("the first request: %d %s, reserved %q", status, got, born)
		}
		for _, id := range []string{hooked.IdentityID, p.IdentityID} {
			if got := w.findings(id); got != "" {
				t.Errorf("findings: %s", got)
			}
		}
		raw, err := json.Marshal(w.metadata(p.IdentityID))
		if err != nil {
			t.Fatal(err)
		}
		copied, err := w.kratos.CreateIdentities(t.Context(), []map[string]any{{"schema_id": "default",
			"traits": map[string]any{"email": mail("copied"), "name": "Eve"}, "metadata_public": json.RawMessage(raw)}})
		if err != nil {
			t.Fatal(err)
		}
		client := &ory.Client{PublicURL: w.kratos.PublicURL, AdminURL: w.kratos.AdminURL, Timeout: patience}
		defer client.CloseIdleConnections()
		operator := &link.Linker{Ory: client, Store: w.store, Secrets: secrets, Log: w.linker.Log}
		eve, err := operator.Refresh(t.Context(), symbolon.IdentityID(copied[0]), symbolon.FromReconcile)
		if err != nil || string(eve.User) == born || w.findings(copied[0]) != "claimed_by_other" {
			t.Errorf("the copy: user %s, %v, findings %q; copied %s", eve.User, err, w.findings(copied[0]), born)
		}
		if _, got := w.get(p.Token); got != born {
			t.Errorf("the owner has user %s, had %s", got, born)
		}
	})
}

// signUpReserved registers a person whose ID was reserved. On a busy machine the second that
// drawing may take can be too short, so it tries again.
func (w *world) signUpReserved(name string) (p *symbolontest.Person, born string) {
	w.t.Helper()
	for n := range 10 {
		p = w.signUp(mail("%s%d", name, n))
		if born = w.backReference(p.Token); born != "" {
			return p, born
		}
	}
	w.t.Fatal("the first whoami has no ID")
	return nil, ""
}

// TestOthersMetadataSurvives checks that metadata of another application's parse hook is
// unchanged, byte for byte, also numbers that a float64 cannot represent. The user's ID
// is added by reserve, or by the PATCH of WriteCreate if Jsonnet would change the numbers.
func TestOthersMetadataSurvives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, metadata string
		born           bool
	}{
		{"reserved", `{"plan":"gold","n":9007199254740991,"a/b":{"~":[1,null,"é"]}}`, true},
		{"too large for Jsonnet", `{"plan":"gold","n":9007199254740993}`, false},
		{"a fraction", `{"ratio":0.1}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onOne(t, setup{admin: true, link: true, reserve: true, write: link.WriteCreate, metadata: tt.metadata}, func(t *testing.T, w *world) {
				seen := make(chan struct{})
				w.gate.set(func() { w.gate.hold = seen })
				p := w.signUp(mail("meta"))
				born := w.backReference(p.Token) // before the link hook is called
				close(seen)
				if (born != "") != tt.born {
					t.Errorf("the first whoami has the ID %q", born)
				}
				w.eventually("Ory holds the ID", func() bool { return w.metadata(p.IdentityID)["id"] != nil })
				got := w.metadata(p.IdentityID)
				w.eventually("the identity is linked", func() bool { return w.linked(p.IdentityID) != "" })
				if string(got["id"]) != `"`+string(w.linked(p.IdentityID))+`"` {
					t.Errorf("Ory has %s, linked %s", got["id"], w.linked(p.IdentityID))
				}
				var want map[string]json.RawMessage
				if err := json.Unmarshal([]byte(tt.metadata), &want); err != nil {
					t.Fatal(err)
				}
				for key, value := range want {
					if string(got[key]) != string(value) {
						t.Errorf("%s was %s and is now %s", key, value, got[key])
					}
				}
			})
		})
	}
}

// metadata returns metadata_public from the admin API.
func (w *world) metadata(id string) map[string]json.RawMessage {
	w.t.Helper()
	raw, status, err := w.kratos.GetIdentity(w.t.Context(), id)
	if err != nil || status != 200 {
		w.t.Fatalf("get identity: %d, %v", status, err)
	}
	var i struct {
		Metadata map[string]json.RawMessage `json:"metadata_public"`
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		w.t.Fatal(err)
	}
	return i.Metadata
}

// hook calls a hook as Ory does and returns the status.
func (w *world) hook(path, identity string) int {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.gate.url+path, strings.NewReader(`{"identity_id":"`+identity+`"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Symbolon-Key", keyOf(path))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
