package server

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// TestProxyRoutes sends the requests of proxies through the server's own router.
func TestProxyRoutes(t *testing.T) {
	i := install(t, func(c *config.Config) {
		c.Auth.Audience, c.Auth.LoginURL = "app", "https://ory.example/login"
		c.Auth.Policies = map[string]config.PolicyConfig{"web": {LoginRedirect: true}, "strict": {AAL: "aal2"}, "fresh": {Fresh: time.Second}, "calm": {Fresh: time.Hour, AAL: "aal1"}, "known": {Verified: true}}
	})
	id, token := i.ory.Add(1)
	user := i.signIn(t, token)
	for path, want := range map[string]int{
		"/auth": 200, "/auth/optional": 200, "/auth/aal2": 403, "/auth/p/default/notes/..;/x": 200, "/auth/p/web": 200, "/auth/p/strict/auth/optional": 403,
		"/auth/p/fresh": 403, "/auth/p/calm": 200, "/auth/p/known": 403, "/auth/": 404, "/auth/optional/x": 404, "/auth/p/none": 404, "/authx": 404, "/auth/p/web?policy=default": 200,
	} {
		w := cmdtest.Ask(i.Public(), "GET", path, "", "X-Session-Token", token)
		if w.Code != want || strings.HasPrefix(path, "/auth/") && len(w.Header()["X-User-Id"]) != 1 {
			t.Errorf("%s: %d %v, want %d", path, w.Code, w.Header(), want)
		}
	}
	w := cmdtest.Ask(i.Public(), "GET", "/auth/p/web/notes", "", "Accept", "text/html")
	if w.Code != 302 || w.Header().Get("Location") != "https://ory.example/login" {
		t.Errorf("a browser: %d %v", w.Code, w.Header())
	}
	w = cmdtest.Ask(i.Public(), "GET", "/auth", "", "X-Session-Token", token)
	parts := strings.Split(w.Header().Get("X-Auth-Assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("no assertion: %v", w.Header())
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), `"sub":"`+user+`"`) || !strings.Contains(string(claims), `"iss":"http://127.0.0.1:4460"`) {
		t.Errorf("%s %v", claims, err)
	}
	w = cmdtest.Ask(i.Public(), "GET", "/.well-known/jwks.json", "")
	if w.Code != 200 || strings.Count(w.Body.String(), `"kid"`) != 3 {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	name, passwords := i.Config.HydrateLogin()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+passwords[0]))
	body := `{"subject":"` + id + `","extra":{},"header":{},"match_context":{}}`
	w = cmdtest.Ask(i.Public(), "POST", "/hydrate", body, "Authorization", basic, "X-Session-Token", token)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"X-User-Id":["`+user+`"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = cmdtest.Ask(i.Public(), "POST", "/hydrate", body, "X-Session-Token", token); w.Code != 401 {
		t.Errorf("without a password: %d", w.Code)
	}
	if strings.Contains(i.logs.String(), passwords[0]) || strings.Contains(i.logs.String(), parts[2]) {
		t.Error("the log has the password or the assertion")
	}
}

// TestNothingSigned checks that there is no assertion without an audience.
func TestNothingSigned(t *testing.T) {
	i := install(t, nil)
	_, token := i.ory.Add(1)
	i.signIn(t, token)
	w := cmdtest.Ask(i.Public(), "GET", "/auth", "", "X-Session-Token", token)
	if v := w.Header()["X-Auth-Assertion"]; len(v) != 1 || v[0] != "" {
		t.Errorf("%q", v)
	}
	if w = cmdtest.Ask(i.Public(), "GET", "/.well-known/jwks.json", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"keys":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
