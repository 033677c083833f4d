package fakeory_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// application receives one parse hook and one plain hook. The name in the e-mail address
// of the sign-up selects its answer.
type application struct {
	*httptest.Server

	mu    sync.Mutex
	calls []call
}

type call struct {
	path, id, email string
	header          http.Header
}

func newApplication(t *testing.T) *application {
	a := &application{}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

// answers of the two hooks, by path and name.
var answers = map[string]struct {
	status int
	body   string
}{
	"/parse empty":     {200, ``},
	"/parse list":      {200, `[]`},
	"/parse created":   {201, `{"identity":{"metadata_public":{"id":"unread"}}}`},
	"/parse nocontent": {204, ``},
	"/parse metadata":  {200, `{"identity":{"id":"9d0c3c2a-7a54-4c1e-9a35-0f5b6a1d2e3f","external_id":"e","metadata_public":{"id":"read"},"metadata_admin":{"k":1}}}`},
	"/parse refuse":    {403, `{"messages":[{"instance_ptr":"#/traits/email","messages":[{"id":4900001,"text":"Not you.","type":"error","context":{}}]}]}`},
	"/parse bare":      {403, `{}`},
	"/parse down":      {500, `{}`},
	"/parse inactive":  {200, `{"identity":{"state":"inactive"}}`},
	"/plain refuse2":   {403, `{"messages":[{"messages":[{"id":1,"text":"no","type":"error"}]}]}`},
	"/plain down2":     {500, `{}`},
	"/plain empty2":    {200, ``},
}

func (a *application) serve(w http.ResponseWriter, r *http.Request) {
	var body struct{ ID, Email string }
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &body)
	a.mu.Lock()
	a.calls = append(a.calls, call{r.URL.Path, body.ID, body.Email, r.Header.Clone()})
	a.mu.Unlock()
	name, _, _ := strings.Cut(body.Email, "-")
	answer, ok := answers[r.URL.Path+" "+name]
	if !ok {
		answer.status, answer.body = 200, `{}`
	}
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

func (a *application) of(path, email string) (calls []call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.calls {
		if c.path == path && c.email == email {
			calls = append(calls, c)
		}
	}
	return calls
}

func (a *application) overlay() []byte {
	body := "base64://" + base64.StdEncoding.EncodeToString([]byte(`function(ctx) {id: ctx.identity.id, email: ctx.identity.traits.email}`))
	return fmt.Appendf(nil, `
selfservice:
  flows:
    registration:
      after:
        password:
          hooks:
            - hook: session
            - hook: web_hook
              config: {url: %[1]s/parse, method: POST, body: %[2]s, response: {parse: true}}
            - hook: web_hook
              config: {url: %[1]s/plain, method: POST, body: %[2]s}
            - hook: web_hook
              config: {url: %[1]s/ignored, method: POST, body: %[2]s, response: {ignore: true},
                auth: {type: api_key, config: {name: X-Key, value: k, in: header}}}
`, a.URL, body)
}

const zero = "00000000-0000-0000-0000-000000000000"

func parseHooks(t *testing.T, s subject) {
	for _, c := range []struct {
		name          string
		status, calls int
		words         string
		stored        bool
	}{
		{"fine", 200, 1, "session_token", true},
		{"empty", 400, 1, "webhook response could not be unmarshalled properly from JSON: EOF", false},
		{"list", 400, 1, "webhook response could not be unmarshalled properly from JSON", false},
		{"created", 200, 1, `"metadata_public":null`, true},
		{"nocontent", 200, 1, "", true},
		{"metadata", 200, 1, `"metadata_public":{"id":"read"}`, true},
		{"refuse", 400, 1, `"text":"Not you."`, false},
		{"bare", 400, 1, "error while parsing webhook response: got no validation errors", false},
		{"down", 400, 3, "giving up after 3 attempt(s)", false},
		{"inactive", 401, 1, "This account was disabled.", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			email := address(c.name)
			body, status := s.signUp(t, email)
			calls := s.app.of("/parse", email)
			if status != c.status || !strings.Contains(body, c.words) || len(calls) != c.calls {
				t.Fatalf("%d after %d calls: %s", status, len(calls), body)
			}
			for n, call := range calls {
				id := call.header.Get("Ory-Webhook-Request-Id")
				if call.id != zero || id == "" || call.header.Get("Ory-Webhook-Trigger-Id") != "" || n > 0 && id == calls[0].header.Get("Ory-Webhook-Request-Id") {
					t.Errorf("call %d: %+v", n, call)
				}
			}
			s.stored(t, email, c.stored)
			if plain := len(s.app.of("/plain", email)); (plain == 1) != (c.status == 200) {
				t.Errorf("the plain hook was called %d times", plain)
			}
		})
	}
}

func plainHooks(t *testing.T, s subject) {
	for _, c := range []struct {
		name          string
		status, calls int
		words         string
	}{
		{"ok2", 200, 1, "session_token"}, {"empty2", 200, 1, "session_token"},
		{"refuse2", 502, 1, "webhook failed with status code 403"}, {"down2", 400, 3, "giving up after 3 attempt(s)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			email := address(c.name)
			body, status := s.signUp(t, email)
			calls := s.app.of("/plain", email)
			if status != c.status || !strings.Contains(body, c.words) || len(calls) != c.calls || calls[0].id == zero {
				t.Fatalf("%d after %d calls: %s", status, len(calls), body)
			}
			s.stored(t, email, true)
			if c.status != 200 {
				return
			}
			deadline := time.Now().Add(time.Minute)
			for len(s.app.of("/ignored", email)) == 0 && time.Now().Before(deadline) {
				time.Sleep(5 * time.Millisecond)
			}
			if got := s.app.of("/ignored", email); len(got) != 1 || got[0].header.Get("X-Key") != "k" {
				t.Errorf("the ignored hook: %+v", got)
			}
		})
	}
}

func (s subject) signUp(t *testing.T, email string) (body string, status int) {
	t.Helper()
	p, err := s.Register(t.Context(), email, password, "P")
	var refused *symbolontest.KratosError
	switch {
	case errors.As(err, &refused):
		return string(refused.Body), refused.Status
	case err != nil:
		t.Fatal(err)
	}
	return string(p.Body), p.Status
}

func (s subject) stored(t *testing.T, email string, want bool) {
	t.Helper()
	r := ask(t, "GET", s.admin+"/admin/identities?credentials_identifier="+email, "")
	if got := strings.Contains(r.text, email); got != want {
		t.Errorf("stored %t, want %t: %s", got, want, r.text)
	}
}

func sessions(t *testing.T, s subject) {
	p := s.register(t, "session")
	at := s.admin + "/admin/sessions/" + p.SessionID
	expect(t, 200, `"identity":null,"devices":[]`, "GET", at, "")
	expect(t, 200, `"identity":{"id":"`+p.IdentityID, "GET", at+"?expand=identity", "")
	expect(t, 200, `"schema_url":""`, "GET", s.at(p.IdentityID)+"/sessions", "")
	expect(t, 204, "", "DELETE", at, "")
	expect(t, 200, `"active":false`, "GET", at, "")
	expect(t, 401, "", "GET", s.public+"/sessions/whoami", "", "X-Session-Token", p.Token)
	again, err := s.Login(t.Context(), p.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, 204, "", "DELETE", s.at(p.IdentityID)+"/sessions", "")
	expect(t, 404, "", "DELETE", s.at(p.IdentityID)+"/sessions", "")
	expect(t, 404, "", "GET", s.admin+"/admin/sessions/"+again.SessionID, "")
	expect(t, 404, "", "DELETE", s.admin+"/admin/sessions/"+zero, "")
	third, err := s.Login(t.Context(), p.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteIdentity(t.Context(), p.IdentityID); err != nil {
		t.Fatal(err)
	}
	expect(t, 401, "", "GET", s.public+"/sessions/whoami", "", "X-Session-Token", third.Token)
	expect(t, 404, "", "GET", s.admin+"/admin/sessions/"+third.SessionID, "")
}

func whoami(t *testing.T, s subject) {
	ada, eve := s.register(t, "ada"), s.register(t, "eve")
	cookie, err := s.LoginBrowser(t.Context(), ada.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	good := cookie.Name + "=" + cookie.Value
	const header = "X-Kratos-Authenticated-Identity-Id"
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		who     string
	}{
		{"nothing", nil, 401, ""},
		{"token", []string{"X-Session-Token", ada.Token}, 200, ada.IdentityID},
		{"cookie", []string{"Cookie", good}, 200, ada.IdentityID},
		{"bearer", []string{"Authorization", "Bearer " + ada.Token}, 200, ada.IdentityID},
		{"token before cookie", []string{"X-Session-Token", eve.Token, "Cookie", good}, 200, eve.IdentityID},
		{"bad token before cookie", []string{"X-Session-Token", "junk", "Cookie", good}, 401, ""},
		{"cookie before bearer", []string{"Authorization", "Bearer " + eve.Token, "Cookie", good}, 200, ada.IdentityID},
		{"junk cookie", []string{"Cookie", cookie.Name + "=junk"}, 401, ""},
		{"junk cookie, good token", []string{"X-Session-Token", ada.Token, "Cookie", cookie.Name + "=junk"}, 500, ada.IdentityID},
		{"junk cookie, good bearer", []string{"Authorization", "Bearer " + ada.Token, "Cookie", cookie.Name + "=junk"}, 500, ada.IdentityID},
	} {
		r := ask(t, "GET", s.public+"/sessions/whoami", "", c.headers...)
		if r.status != c.status || r.header.Get(header) != c.who {
			t.Errorf("%s: %d %q %s", c.name, r.status, r.header.Get(header), r.text)
		}
		if r.status == 401 && !strings.Contains(r.text, `"reason":"No valid session credentials found in the request."`) {
			t.Errorf("%s: %s", c.name, r.text)
		}
	}
	if err := s.Logout(t.Context(), ada.Token); err != nil {
		t.Error(err)
	}
	if _, status, err := s.Whoami(t.Context(), ada.Token); status != 401 {
		t.Errorf("after logout %d, %v", status, err)
	}
}

func inactive(t *testing.T, s subject) {
	p := s.register(t, "frozen")
	state := func(to string) {
		expect(t, 200, to, "PATCH", s.at(p.IdentityID), `[{"op":"replace","path":"/state","value":"`+to+`"}]`)
	}
	state("inactive")
	expect(t, 401, "", "GET", s.public+"/sessions/whoami", "", "X-Session-Token", p.Token)
	var refused *symbolontest.KratosError
	if _, err := s.Login(t.Context(), p.Email, password); !errors.As(err, &refused) || refused.Status != 401 || !strings.Contains(string(refused.Body), p.IdentityID) {
		t.Errorf("login while inactive: %v", err)
	}
	state("active")
	expect(t, 200, "", "GET", s.public+"/sessions/whoami", "", "X-Session-Token", p.Token)
}

func ports(t *testing.T, s subject) {
	expect(t, 200, `"status":"ok"`, "GET", s.public+"/health/ready", "")
	expect(t, 200, `"status":"ok"`, "GET", s.admin+"/admin/health/ready", "")
	for _, path := range []string{"/health/ready", "/version", "/sessions/whoami"} {
		if r := expect(t, 307, "", "GET", s.admin+path, ""); r.header.Get("Location") != "/admin"+path {
			t.Errorf("%s leads to %s", path, r.header.Get("Location"))
		}
	}
	r := expect(t, 307, "", "GET", s.public+"/admin/identities", "")
	if r.header.Get("Location") != s.admin+"/admin/identities" {
		t.Errorf("the public port leads to %s", r.header.Get("Location"))
	}
}
