package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// TestProxyRoutes: what proxies ask for, through the server's own router.
func TestProxyRoutes(t *testing.T) {
	i := install(t, func(c *Config) {
		c.Auth.Audience, c.Auth.LoginURL = "app", "https://ory.example/login"
		c.Auth.Policies = map[string]PolicyConfig{"web": {LoginRedirect: true}, "strict": {AAL: "aal2"}, "fresh": {Fresh: time.Second}, "calm": {Fresh: time.Hour, AAL: "aal1"}, "known": {Verified: true}}
	})
	id, token := i.ory.add(1)
	user := i.signIn(t, token)
	for path, want := range map[string]int{
		"/auth": 200, "/auth/optional": 200, "/auth/aal2": 403, "/auth/p/default/notes/..;/x": 200, "/auth/p/web": 200, "/auth/p/strict/auth/optional": 403,
		"/auth/p/fresh": 403, "/auth/p/calm": 200, "/auth/p/known": 403, "/auth/": 404, "/auth/optional/x": 404, "/auth/p/none": 404, "/authx": 404, "/auth/p/web?policy=default": 200,
	} {
		w := ask(i.public(), "GET", path, "", "X-Session-Token", token)
		if w.Code != want || strings.HasPrefix(path, "/auth/") && len(w.Header()["X-User-Id"]) != 1 {
			t.Errorf("%s: %d %v, want %d", path, w.Code, w.Header(), want)
		}
	}
	w := ask(i.public(), "GET", "/auth/p/web/notes", "", "Accept", "text/html")
	if w.Code != 302 || w.Header().Get("Location") != "https://ory.example/login" {
		t.Errorf("a browser: %d %v", w.Code, w.Header())
	}
	w = ask(i.public(), "GET", "/auth", "", "X-Session-Token", token)
	parts := strings.Split(w.Header().Get("X-Auth-Assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("no assertion: %v", w.Header())
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), `"sub":"`+user+`"`) || !strings.Contains(string(claims), `"iss":"http://127.0.0.1:4460"`) {
		t.Errorf("%s %v", claims, err)
	}
	w = ask(i.public(), "GET", "/.well-known/jwks.json", "")
	if w.Code != 200 || strings.Count(w.Body.String(), `"kid"`) != 3 {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	name, passwords := i.config.hydrateLogin()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+passwords[0]))
	body := `{"subject":"` + id + `","extra":{},"header":{},"match_context":{}}`
	w = ask(i.public(), "POST", "/hydrate", body, "Authorization", basic, "X-Session-Token", token)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"X-User-Id":["`+user+`"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = ask(i.public(), "POST", "/hydrate", body, "X-Session-Token", token); w.Code != 401 {
		t.Errorf("without a password: %d", w.Code)
	}
	if strings.Contains(i.logs.String(), passwords[0]) || strings.Contains(i.logs.String(), parts[2]) {
		t.Error("the log has the password or the assertion")
	}
}

// TestNothingSigned: without an audience.
func TestNothingSigned(t *testing.T) {
	i := install(t, nil)
	_, token := i.ory.add(1)
	i.signIn(t, token)
	w := ask(i.public(), "GET", "/auth", "", "X-Session-Token", token)
	if v := w.Header()["X-Auth-Assertion"]; len(v) != 1 || v[0] != "" {
		t.Errorf("%q", v)
	}
	if w = ask(i.public(), "GET", "/.well-known/jwks.json", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"keys":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOathkeeperConfig: what is printed is what is accepted, also while the secret is
// changed, and of the operator's own choice.
func TestOathkeeperConfig(t *testing.T) {
	c := defaults()
	c.Secret, c.PreviousSecrets = testSecret, []Hidden{testKey}
	printed := func() (user, password string) {
		var b bytes.Buffer
		if err := c.writeOathkeeper(&b); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Mutators struct {
				Hydrator struct {
					Config struct {
						API struct {
							URL  string
							Auth struct {
								Basic struct{ Username, Password string }
							}
						} `yaml:"api"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil || doc.Mutators.Hydrator.Config.API.URL != "http://127.0.0.1:4460/hydrate" {
			t.Fatalf("%s %v", b.String(), err)
		}
		basic := doc.Mutators.Hydrator.Config.API.Auth.Basic
		return basic.Username, basic.Password
	}
	user, password := printed()
	if u, p := c.hydrateLogin(); user != u || len(p) != 2 || password != p[0] || p[0] == p[1] || len(password) < 40 {
		t.Errorf("%s %d", user, len(p))
	}
	c.Hooks.Basic.Hydrate = "keeper:" + testKey + ":x"
	if user, password = printed(); user != "keeper" || password != testKey+":x" {
		t.Errorf("%s", user)
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{"127.0.0.1": "127.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "::1": "::1/128", "fd00::/8": "fd00::/8", "::ffff:10.0.0.1": "10.0.0.1/32",
		"10.0.0.1/8": "", "localhost": "", "": "", "*": "", "fe80::1%eth0": "", "10.0.0.0/33": "", "10.0.0.0": "10.0.0.0/32", "::ffff:10.0.0.0/104": ""} {
		p, err := parseNetwork(text)
		if (err == nil) != (want != "") || err == nil && p != netip.MustParsePrefix(want) {
			t.Errorf("%q: %v %v", text, p, err)
		}
	}
}

// TestPoliciesByEnvironment: what is not understood is refused, as in a file.
func TestPoliciesByEnvironment(t *testing.T) {
	for _, bad := range []string{`[]`, `{"a":1}`, `{"a":{"all":"aal2"}}`, `{"a":{"verified":"true"}}`, `{"a":{"aal":true}}`, `{"a":{"fresh":15}}`, `{"a":{"fresh":"soon"}}`,
		`{"a":{"aal":null}}`, `{"a":{"aal":["aal2"]}}`, `{"a":{},"a":{}}`, `{"optional":{}}`, `{"A":{}}`, `a`} {
		if _, _, err := load(t, "", environment("SYMBOLON_AUTH_POLICIES", bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		} else if !strings.Contains(err.Error(), "auth.policies") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	c, _, err := load(t, "", environment("SYMBOLON_AUTH_POLICIES", `{"a":{"fresh":"15m"},"b":{}}`, "SYMBOLON_AUTH_POLICIES_A_FRESH", "1s"))
	if err != nil || c.Auth.Policies["a"].Fresh != 15*time.Minute || len(c.Auth.Policies) != 2 {
		text, _ := json.Marshal(c)
		t.Errorf("%s %v", text, err)
	}
	// A variable below a policy's name is no key: the file keeps its word.
	c, warnings, err := load(t, "secret: ${SYMBOLON_SECRET}\nauth: {policies: {a: {fresh: 15m}}}\n", environment("SYMBOLON_AUTH_POLICIES_A_FRESH", "1s"))
	if err != nil || c.Auth.Policies["a"].Fresh != 15*time.Minute || len(warnings) != 1 {
		t.Errorf("%v %v", warnings, err)
	}
}
