package library

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestInvite signs guests up at Kratos, by the API and by a browser's form. Their identities are
// born with the ID of the guest's row. The link hook, the first request or reconcile makes the
// link. A sign-up that Kratos refuses, before or after the
// reserve hook, leaves the invite valid.
func TestInvite(t *testing.T) {
	t.Parallel()
	for _, dialect := range e2e.Both {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			// Without the admin API the body of the link hook is the reading.
			w := newWorld(t, dialect, setup{admin: dialect == sqlstore.SQLite, link: true, reserve: true})
			w.guests()
		})
	}
}

func (w *world) guests() {
	t := w.t
	first := w.signUp(w.mail("first"))
	guest, invite := w.guest()
	if p, refused := w.signUpAs(w.mail("weak"), "123", invite); p != nil || !refused {
		t.Fatal("Kratos accepted the password 123")
	}
	before := len(w.gate.of("/hooks/reserve"))
	if p, refused := w.signUpAs(first.Email, password, invite); p != nil || !refused {
		t.Fatal("Kratos accepted an address twice")
	}
	if len(w.gate.of("/hooks/reserve")) == before {
		t.Error("the second refusal did not come after the reserve hook")
	}
	ann, _ := w.signUpAs(w.mail("ann"), password, invite)
	w.isGuest(ann, guest)

	late, _ := w.signUpAs(w.mail("late"), password, invite)
	status, own := w.get(late.Token)
	if status != 200 || own == string(guest) || w.findings(late.IdentityID) != "invite_void" || w.backReference(late.Token) != own {
		t.Errorf("the invite again: %d %s, findings %s, at Ory %s", status, own, w.findings(late.IdentityID), w.backReference(late.Token))
	}
	other, again := w.guest()
	bob := w.signUpByForm(w.mail("bob"), again)
	if user := w.bound(bob); user != other {
		t.Errorf("a browser's form: user %s, invited was %s", user, other)
	}
	lost, third := w.guest()
	w.gate.set(func() { w.gate.dropLink = true }) // the first request makes the link
	eve, _ := w.signUpAs(w.mail("eve"), password, third)
	if status, user := w.get(eve.Token); status != 200 || user != string(lost) {
		t.Errorf("without the link hook: %d %s, invited was %s", status, user, lost)
	}
	if !w.linker.Ory.HasAdmin() {
		return
	}
	last, fourth := w.guest()
	cat, _ := w.signUpAs(w.mail("cat"), password, fourth)
	w.reconcile(reconcile.Options{Repair: true})
	if user := w.linked(cat.IdentityID); user != last {
		t.Errorf("reconcile linked user %s, invited was %s", user, last)
	}
	if got := w.reconcile(reconcile.Options{}); got.Left() != 1 || got.Found["invite_void"] != 1 {
		t.Errorf("reconcile found %+v", got.Found)
	}
}

// guest makes a row without an identity, and an invite for it.
func (w *world) guest() (symbolon.UserID, string) {
	w.t.Helper()
	user := w.linker.Mint()
	w.db.exec(`insert into symbolon_users (id) values ($1)`, string(user))
	invite, err := w.linker.Invite(w.t.Context(), user, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return user, invite.Text
}

// isGuest checks that a person who just signed up is the user, before and after the first request.
func (w *world) isGuest(p *symbolontest.Person, user symbolon.UserID) {
	w.t.Helper()
	if got := w.backReference(p.Token); got != string(user) {
		w.t.Errorf("the first whoami says %s, the user is %s", got, user)
	}
	if got := w.bound(symbolon.IdentityID(p.IdentityID)); got != user {
		w.t.Errorf("linked to %s, the user is %s", got, user)
	}
	if status, got := w.get(p.Token); status != 200 || got != string(user) || w.findings(p.IdentityID) != "" {
		w.t.Errorf("%d %s, findings %s; the user is %s", status, got, w.findings(p.IdentityID), user)
	}
	if n := w.db.int(`select count(*) from symbolon_users where id = $1 and ory_identity_id = $2`, string(user), p.IdentityID); n != 1 {
		w.t.Error("the row does not hold the identity")
	}
}

// bound waits until the link hook has linked an identity.
func (w *world) bound(id symbolon.IdentityID) symbolon.UserID {
	w.t.Helper()
	w.eventually("the identity is linked by the hook", func() bool { return w.linked(string(id)) != "" })
	return w.linked(string(id))
}

// signUpAs registers a person by the API, with an invite in the form. refused says that Kratos
// refused the form.
func (w *world) signUpAs(email, password, invite string) (p *symbolontest.Person, refused bool) {
	w.t.Helper()
	flow, err := w.kratos.RegisterFlow(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"method": "password", "password": password, "traits": map[string]any{"email": email, "name": "Ann"},
		"transient_payload": map[string]any{"symbolon_invite": invite}})
	if err != nil {
		w.t.Fatal(err)
	}
	at := w.kratos.PublicURL + "/self-service/registration?flow=" + url.QueryEscape(flow)
	for range 10 { // Kratos allows one second for the Jsonnet of a hook
		status, answer := w.post(http.DefaultClient, at, "application/json", bytes.NewReader(body))
		var out struct {
			Token    string `json:"session_token"`
			Identity struct{ ID string }
		}
		switch {
		case strings.Contains(answer, "jsonnetsecure"):
			continue
		case status != 200:
			return nil, status == 400
		case json.Unmarshal([]byte(answer), &out) != nil:
			w.t.Fatal(answer)
		}
		return &symbolontest.Person{IdentityID: out.Identity.ID, Token: out.Token, Email: email, Password: password}, false
	}
	w.t.Fatal("Kratos never had the time for the Jsonnet of a hook")
	return nil, false
}

// signUpByForm registers a person as a browser without JavaScript does: transient_payload is
// JSON in one hidden field. It returns the identity.
func (w *world) signUpByForm(email, invite string) symbolon.IdentityID {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.kratos.PublicURL+"/self-service/registration/browser", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json")
	status, answer := w.send(browser, request)
	var flow struct {
		UI struct {
			Action string
			Nodes  []struct {
				Attributes struct {
					Name  string
					Value any
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &flow); err != nil || status != 200 {
		w.t.Fatalf("%d %s", status, answer)
	}
	form := url.Values{"method": {"password"}, "password": {password}, "traits.email": {email}, "traits.name": {"Bob"},
		"transient_payload": {fmt.Sprintf(`{"symbolon_invite":%q}`, invite)}}
	for _, n := range flow.UI.Nodes {
		if n.Attributes.Name == "csrf_token" {
			form.Set("csrf_token", fmt.Sprint(n.Attributes.Value))
		}
	}
	if status, answer := w.post(browser, flow.UI.Action, "application/x-www-form-urlencoded", strings.NewReader(form.Encode())); status != 303 {
		w.t.Fatalf("%d %s", status, answer)
	}
	request, err = http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.kratos.AdminURL+"/admin/identities?credentials_identifier="+url.QueryEscape(email), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var found []struct{ ID symbolon.IdentityID }
	if _, answer := w.send(http.DefaultClient, request); json.Unmarshal([]byte(answer), &found) != nil || len(found) != 1 {
		w.t.Fatal(answer)
	}
	return found[0].ID
}

func (w *world) post(client *http.Client, url, kind string, body io.Reader) (int, string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, body)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	return w.send(client, request)
}

func (w *world) send(client *http.Client, request *http.Request) (int, string) {
	w.t.Helper()
	response, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}
