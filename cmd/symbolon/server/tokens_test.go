package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// takeTokens configures a server to accept the tokens of a template.
func takeTokens(c *config.Config, p *cmdtest.Template) {
	c.Auth.JWT = config.JWTConfig{JWKS: p.Public, Issuer: "https://ory.example/", Audience: "notes", UserClaim: "sub", MaxLife: 15 * time.Minute}
}

func (i *installation) bearer(token string) int {
	return cmdtest.Ask(i.Public(), "GET", "/auth", "", "Authorization", "Bearer "+token).Code
}

// TestTokensEverywhere sends Ory's tokens to two servers, and to a server that was
// started after the session was revoked.
func TestTokensEverywhere(t *testing.T) {
	t.Parallel()
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		p := cmdtest.NewTemplate(t)
		one := install(t, func(c *config.Config) {
			c.Database, c.Auth.MaxStale = config.Hidden(database), time.Hour
			takeTokens(c, p)
		})
		two := one.beside(t)
		stays, _ := one.ory.Add(10)
		other := p.Token(t, stays)
		for n, path := range []string{"/admin/sessions/5e000000-0000-4000-8000-%012d", "/admin/identities/1d000000-0000-4000-8000-%012d/sessions"} {
			id, session := one.ory.Add(n + 1)
			token := p.Token(t, id)
			for _, i := range []*installation{one, two} {
				if got := i.bearer(token); got != 200 {
					t.Fatalf("%d\n%s", got, i.logs)
				}
				if got := i.bearer(other); got != 200 {
					t.Fatal(got)
				}
			}
			w := cmdtest.Ask(one.Public(), "GET", "/auth", "", "Authorization", "Bearer "+token)
			if user := one.signIn(t, session); w.Header().Get("X-User-Id") != user || w.Header().Get("X-Identity-Id") != id {
				t.Errorf("by the token %v, by the session %s", w.Header(), user)
			}
			if w := cmdtest.Ask(one.Operator(), "DELETE", fmt.Sprintf(path, n+1), ""); w.Code != 204 {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			if got := one.bearer(token); got != 401 {
				t.Errorf("%s: %d at the server that revoked", path, got)
			}
			cmdtest.Eventually(t, "the other server refuses the token", func() bool { return two.bearer(token) == 401 })
			if got := one.beside(t).bearer(token); got != 401 {
				t.Errorf("%s: %d at the server that started afterwards", path, got)
			}
			if one.bearer(other) != 200 || two.bearer(other) != 200 {
				t.Error("another person is signed out")
			}
		}
		metrics := cmdtest.Ask(one.Operator(), "GET", "/metrics", "").Body.String()
		for _, line := range []string{"symbolon_jwt_keys 1", "symbolon_jwt_key_faults_total 0", "symbolon_session_max_staleness_seconds 3600"} {
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("no metric %s", line)
			}
		}
		for _, log := range []string{one.logs.String(), two.logs.String()} {
			if strings.Contains(log, other[:60]) {
				t.Error("a token is in the log")
			}
		}
	})
}

// TestTokensOff checks that without auth.jwt no token is accepted.
func TestTokensOff(t *testing.T) {
	p := cmdtest.NewTemplate(t)
	i := install(t, nil)
	id, _ := i.ory.Add(1)
	if got := i.bearer(p.Token(t, id)); got != 401 {
		t.Error(got)
	}
	if got := cmdtest.Ask(i.Public(), "GET", "/auth/optional", "", "Authorization", "Bearer "+p.Token(t, id)); got.Code != 200 || got.Header().Get("X-User-Id") != "" {
		t.Error(got)
	}
	metrics := cmdtest.Ask(install(t, func(c *config.Config) { takeTokens(c, p) }).Operator(), "GET", "/metrics", "").Body.String()
	if !strings.Contains(metrics, "\nsymbolon_session_max_staleness_seconds 910\n") {
		t.Error("the bound ignores the tokens' lifetime")
	}
}
