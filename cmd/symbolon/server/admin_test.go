package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

func TestAdminShowsBothHalves(t *testing.T) {
	i := install(t, nil)
	id, token := i.ory.Add(1)
	user := i.signIn(t, token)
	i.ory.Set(id, "metadata_public", map[string]any{"id": user})
	for _, path := range []string{"/admin/users/" + user, "/admin/identities/" + id, "/admin/identities/" + strings.ToUpper(id)} {
		w := cmdtest.Ask(i.Operator(), "GET", path, "")
		var p system.Person
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if p.Identity == nil || string(p.Identity.ID) != id || p.Identity.Ory != system.Exists || p.Identity.State != "active" || p.Identity.BackReference != user {
			t.Errorf("%s: identity %+v", path, p.Identity)
		}
		if p.User == nil || string(p.User.ID) != user || !p.User.Row || string(p.User.Identity) != id {
			t.Errorf("%s: user %+v", path, p.User)
		}
		if p.Link == nil || p.Link.State != "linked" || p.Link.Source != "request" || len(p.History) == 0 || p.History[0].Kind != "user.linked" {
			t.Errorf("%s: link %+v, history %+v", path, p.Link, p.History)
		}
		if strings.Contains(w.Body.String(), "cAnArY") {
			t.Errorf("the answer has traits: %s", w.Body)
		}
	}
}

func TestAdminSaysWhatOrySays(t *testing.T) {
	i := install(t, nil)
	id, token := i.ory.Add(1)
	i.signIn(t, token)
	ask := func() string { return cmdtest.Ask(i.Operator(), "GET", "/admin/identities/"+id, "").Body.String() }
	i.ory.SetDown(true)
	if got := ask(); !strings.Contains(got, `"ory_says":"unavailable"`) {
		t.Error(got)
	}
	i.ory.SetDown(false)
	i.ory.Set(id, "", nil)
	if got := ask(); !strings.Contains(got, `"ory_says":"gone"`) {
		t.Error(got)
	}
	without := install(t, func(c *config.Config) { c.Ory.AdminURL, c.Ory.Token = "", "" })
	id, token = without.ory.Add(1)
	without.signIn(t, token)
	i = without
	if got := ask(); !strings.Contains(got, `"ory_says":"not_asked"`) {
		t.Error(got)
	}
}

// TestAdminBadInput is row A of the bad-input catalogue.
func TestAdminBadInput(t *testing.T) {
	i := install(t, nil)
	id, token := i.ory.Add(1)
	other, _ := i.ory.Add(2)
	user := i.signIn(t, token)
	good := fmt.Sprintf(`{"identity_id":%q,"user_id":%q}`, id, user)
	const nobody = "1d000000-0000-4000-8000-999999999999"
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		code                     string
		header                   []string
	}{
		{"unknown route", "GET", "/admin", "", 404, "not_found", nil},
		{"unknown route below", "GET", "/admin/events", "", 404, "not_found", nil},
		{"trailing slash", "GET", "/admin/users/" + user + "/", "", 404, "not_found", nil},
		{"encoded slash", "GET", "/admin%2Fusers/" + user, "", 404, "not_found", nil},
		{"double slash", "GET", "//admin/users/" + user, "", 404, "not_found", nil},
		{"dots", "GET", "/admin/../admin/users/" + user, "", 404, "not_found", nil},
		{"override header", "GET", "/admin/links", "", 405, "method_not_allowed", []string{"X-HTTP-Method-Override", "POST"}},
		{"PUT", "PUT", "/admin/links", good, 405, "method_not_allowed", nil},
		{"OPTIONS", "OPTIONS", "/admin/links", "", 405, "method_not_allowed", nil},
		{"TRACE", "TRACE", "/admin/users/" + user, "", 405, "method_not_allowed", nil},
		{"DELETE of a link", "DELETE", "/admin/links", "", 405, "method_not_allowed", nil},

		{"no such user", "GET", "/admin/users/42", "", 404, "not_found", nil},
		{"a user with a slash", "GET", "/admin/users/a%2Fb", "", 404, "not_found", nil},
		{"a user with NUL", "GET", "/admin/users/%00", "", 404, "not_found", nil},
		{"a user that is not UTF-8", "GET", "/admin/users/%ff", "", 404, "not_found", nil},
		{"SQL", "GET", "/admin/users/1%27%20or%20%271%27=%271", "", 404, "not_found", nil},
		{"10 kB", "GET", "/admin/users/" + strings.Repeat("a", 10<<10), "", 404, "not_found", nil},
		{"an identity as a user", "GET", "/admin/users/" + id, "", 404, "not_found", nil},
		{"a user as an identity", "GET", "/admin/identities/" + user, "", 404, "not_found", nil},
		{"no such identity", "GET", "/admin/identities/" + nobody, "", 404, "not_found", nil},
		{"the nil identity", "GET", "/admin/identities/00000000-0000-0000-0000-000000000000", "", 400, "invalid_request", nil},
		{"no UUID", "GET", "/admin/identities/42", "", 400, "invalid_request", nil},
		{"braces", "GET", "/admin/identities/%7B" + id + "%7D", "", 400, "invalid_request", nil},

		{"sync of an unknown identity", "POST", "/admin/identities/" + nobody + "/sync", "", 404, "not_found", nil},
		{"sync of no UUID", "POST", "/admin/identities/42/sync", "", 400, "invalid_request", nil},
		{"sync by GET", "GET", "/admin/identities/" + id + "/sync", "", 405, "method_not_allowed", nil},

		{"empty", "POST", "/admin/links", "", 415, "unsupported_media", nil},
		{"empty JSON", "POST", "/admin/links", " ", 400, "invalid_json", nil},
		{"a form", "POST", "/admin/links", "identity_id=1", 415, "unsupported_media", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"text", "POST", "/admin/links", good, 415, "unsupported_media", []string{"Content-Type", "text/plain"}},
		{"UTF-16", "POST", "/admin/links", good, 415, "unsupported_media", []string{"Content-Type", "application/json; charset=utf-16"}},
		{"gzip", "POST", "/admin/links", good, 415, "unsupported_media", []string{"Content-Encoding", "gzip"}},
		{"not JSON", "POST", "/admin/links", "{'a':1}", 400, "invalid_json", nil},
		{"cut", "POST", "/admin/links", good[:20], 400, "invalid_json", nil},
		{"a BOM", "POST", "/admin/links", "\ufeff" + good, 400, "invalid_json", nil},
		{"two documents", "POST", "/admin/links", good + good, 400, "invalid_json", nil},
		{"an array", "POST", "/admin/links", "[" + good + "]", 400, "invalid_json", nil},
		{"null", "POST", "/admin/links", "null", 400, "invalid_json", nil},
		{"twice", "POST", "/admin/links", strings.Replace(good, "{", `{"user_id":"x",`, 1), 400, "invalid_json", nil},
		{"twice, in capitals", "POST", "/admin/links", strings.Replace(good, "{", `{"User_ID":"x",`, 1), 400, "invalid_json", nil},
		{"deep", "POST", "/admin/links", strings.Repeat(`{"a":`, 10000), 400, "invalid_json", nil},
		{"over 1 MB", "POST", "/admin/links", `{"why":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "too_large", nil},
		{"unknown key", "POST", "/admin/links", strings.Replace(good, "{", `{"moove":true,`, 1), 400, "invalid_request", nil},
		{"move as text", "POST", "/admin/links", strings.Replace(good, "{", `{"move":"true",`, 1), 400, "invalid_request", nil},
		{"move as null", "POST", "/admin/links", strings.Replace(good, "{", `{"move":null,`, 1), 400, "invalid_request", nil},
		{"user as a number", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":42}`, id), 400, "invalid_request", nil},
		{"no user", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q}`, id), 400, "invalid_request", nil},
		{"no identity", "POST", "/admin/links", fmt.Sprintf(`{"user_id":%q}`, user), 400, "invalid_request", nil},
		{"the nil identity", "POST", "/admin/links", `{"identity_id":"00000000-0000-0000-0000-000000000000","user_id":"1"}`, 400, "invalid_request", nil},
		{"a user with NUL", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":"a\u0000"}`, id), 400, "invalid_request", nil},
		{"a lone surrogate", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":"a\ud800"}`, id), 400, "invalid_request", nil},
		{"a user of 256 bytes", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":%q}`, id, strings.Repeat("a", 256)), 400, "invalid_request", nil},
		{"why of two lines", "POST", "/admin/links", strings.Replace(good, "{", `{"why":"a\nb",`, 1), 400, "invalid_request", nil},
		{"bind of an unknown identity", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":%q}`, nobody, user), 404, "not_found", nil},
		{"bind to an unknown user", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":"42"}`, id), 404, "not_found", nil},
		{"bind to another identity's user", "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":%q}`, other, user), 409, "conflict", nil},
	} {
		w := cmdtest.Ask(i.Operator(), test.method, test.path, test.body, test.header...)
		if w.Code != test.status || !strings.Contains(w.Body.String(), `{"error":{"code":"`+test.code+`","message":"`) {
			t.Errorf("%s: %d %s; want %d %s", test.name, w.Code, w.Body, test.status, test.code)
		}
	}
	if got := i.signIn(t, token); got != user {
		t.Errorf("the user changed: %s", got)
	}
}

func TestAdminBindAndSync(t *testing.T) {
	i := install(t, nil)
	one, token := i.ory.Add(1)
	two, _ := i.ory.Add(2)
	user := i.signIn(t, token)
	bind := func(more string) (int, string) {
		w := cmdtest.Ask(i.Operator(), "POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":%q%s}`, two, user, more))
		return w.Code, w.Body.String()
	}
	if status, body := bind(`,"move":true,"why":"ticket 7"`); status != 200 || !strings.Contains(body, `"state":"linked"`) || !strings.Contains(body, two) {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := bind(""); status != 200 { // again: nothing to do
		t.Errorf("%d %s", status, body)
	}
	w := cmdtest.Ask(i.Operator(), "POST", "/admin/identities/"+two+"/sync", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), user) {
		t.Errorf("sync: %d %s", w.Code, w.Body)
	}
	w = cmdtest.Ask(i.Operator(), "POST", "/admin/identities/"+one+"/sync", "")
	if w.Code != 403 || !strings.Contains(w.Body.String(), "link_on_hold") || !strings.Contains(w.Body.String(), "moved") {
		t.Errorf("sync of the identity that lost its user: %d %s", w.Code, w.Body)
	}
	w = cmdtest.Ask(i.Operator(), "GET", "/admin/users/"+user, "")
	if !strings.Contains(w.Body.String(), "ticket 7") {
		t.Errorf("the reason is not in the history: %s", w.Body)
	}
	i.ory.SetDown(true)
	w = cmdtest.Ask(i.Operator(), "POST", "/admin/identities/"+two+"/sync", "")
	if w.Code != 503 {
		t.Errorf("Ory is down: %d %s", w.Code, w.Body)
	}
}

func TestMetrics(t *testing.T) {
	i := install(t, nil)
	_, token := i.ory.Add(1)
	i.signIn(t, token)
	cmdtest.Ask(i.Public(), "POST", "/hooks/link", "{}")
	w := cmdtest.Ask(i.Operator(), "GET", "/metrics", "")
	for _, want := range []string{`symbolon_links_made_total{source="request"} 1`, `symbolon_hooks_total{hook="link",outcome="refused"} 1`,
		`symbolon_http_requests_total{listener="public",route="/auth",status="200"} 1`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(w.Body.String(), "cAnArY") {
		t.Error("metrics show a secret")
	}
}
