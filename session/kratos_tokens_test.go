package session_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/session/jwt"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// tokenSite is a site whose Kratos makes tokens as in examples/ory-tokens. jwks is the
// file with the public keys.
func tokenSite(t *testing.T) (s *site, jwks string) {
	t.Helper()
	dir := t.TempDir()
	example := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("..", "examples", "ory-tokens", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, name := range []string{"notes.claims.jsonnet", "keys.mjs"} {
		if err := os.WriteFile(filepath.Join(dir, name), example(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := exec.CommandContext(t.Context(), "node", "keys.mjs")
	keys.Dir = dir
	if out, err := keys.CombinedOutput(); err != nil {
		t.Fatalf("node keys.mjs: %v\n%s", err, out)
	}
	overlay := strings.ReplaceAll(string(example("kratos.yml")), "/etc/config/kratos", dir)
	s = &site{Kratos: symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: []byte(overlay)})}
	s.db = open(t, sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "symbolon.db")))
	if err := migrate.Up(t.Context(), s.db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, "notes.jwks.json")
}

// tokenise returns a token of a session.
func (s *site) tokenise(t *testing.T, p *symbolontest.Person) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.PublicURL+"/sessions/whoami?tokenize_as=notes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Session-Token", p.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var out struct{ Tokenized string }
	if err != nil || resp.StatusCode != 200 || json.Unmarshal(body, &out) != nil || out.Tokenized == "" {
		t.Fatalf("tokenize_as: %d %v %s", resp.StatusCode, err, body)
	}
	return out.Tokenized
}

// takesTokens starts a process of the application that accepts tokens.
func (s *site) takesTokens(t *testing.T, admin bool, jwks string) app {
	t.Helper()
	a := s.start(t, admin)
	a.v.Tokens = &jwt.Verifier{JWKS: jwks, Issuer: s.PublicURL + "/", Audience: "notes"}
	if err := a.v.Check(); err != nil {
		t.Fatal(err)
	}
	return a
}

func parts(t *testing.T, jwt string) (header, claims map[string]any) {
	t.Helper()
	pieces := strings.Split(jwt, ".")
	for i, to := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(pieces[i])
		if err != nil || json.Unmarshal(text, to) != nil {
			t.Fatalf("%s: %v", jwt, err)
		}
	}
	return header, claims
}

// TestKratosTokens tests tokens from the sign-up at a real Kratos to the end of the
// session.
func TestKratosTokens(t *testing.T) {
	s, jwks := tokenSite(t)
	ctx := t.Context()
	admin, offline := s.takesTokens(t, true, jwks), s.takesTokens(t, false, jwks)
	began := time.Now().Add(-time.Second) // Kratos stores seconds
	p := s.register(t, 1)
	jwt := s.tokenise(t, p)
	header, claims := parts(t, jwt)
	if len(header) != 3 || header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] == "" {
		t.Errorf("header: %v", header)
	}
	for _, name := range []string{"aal", "aud", "authenticated_at", "email_verified", "exp", "iat", "iss", "jti", "nbf", "sid", "sub"} {
		if claims[name] == nil {
			t.Errorf("no claim %s: %v", name, claims)
		}
		delete(claims, name)
	}
	if len(claims) != 0 {
		t.Errorf("more claims than are documented: %v", claims)
	}

	bearer := func(a app, jwt string) (int, string) { return a.sure("Authorization", "Bearer "+jwt) }
	if status, said := bearer(offline, jwt); status != 403 || !strings.Contains(said, "cannot_create") {
		t.Errorf("no user yet, and Ory cannot be asked: %d %s", status, said)
	}
	status, user := bearer(admin, jwt)
	if status != 200 || user == "" {
		t.Fatalf("%d %s", status, user)
	}
	if status, same := admin.sure("X-Session-Token", p.Token); status != 200 || same != user {
		t.Errorf("by the session: %d %s, by its token %s", status, same, user)
	}
	time.Sleep(maxStale)
	if status, same := bearer(offline, s.tokenise(t, p)); status != 200 || same != user {
		t.Errorf("the user exists, and Ory is not asked: %d %s", status, same)
	}
	who, err := admin.who(jwt)
	if err != nil || !who.Tokenised || string(who.User.Identity) != p.IdentityID || who.Session.ID != p.SessionID || who.Session.AAL != "aal1" ||
		who.Email != "" || who.Session.AuthenticatedAt.Before(began) || who.Session.AuthenticatedAt.After(time.Now()) {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := admin.who(jwt, session.Fresh(time.Hour)); err != nil {
		t.Error(err)
	}
	verify := []map[string]any{{"op": "replace", "path": "/verifiable_addresses/0/verified", "value": true}}
	if err := s.PatchIdentity(ctx, p.IdentityID, verify); err != nil {
		t.Fatal(err)
	}
	who, err = admin.who(s.tokenise(t, p), session.Verified)
	if err != nil || who.Email != p.Email {
		t.Errorf("verified: %+v, %v", who, err)
	}
	s.endTokens(t, admin, offline)
}

// endTokens ends sessions in every way. An end through Symbolon is effective at once. Of any
// other end Symbolon learns only by asking Kratos, which may be down.
func (s *site) endTokens(t *testing.T, admin, offline app) {
	t.Helper()
	ctx := t.Context()
	for n, end := range map[int]func(*symbolontest.Person) error{
		2: func(p *symbolontest.Person) error { return admin.v.RevokeSession(ctx, p.SessionID) },
		3: func(p *symbolontest.Person) error { return admin.v.Revoke(ctx, symbolon.IdentityID(p.IdentityID)) },
		4: func(p *symbolontest.Person) error {
			err := s.PatchIdentity(ctx, p.IdentityID, replaceState("inactive"))
			admin.v.Purge(symbolon.IdentityID(p.IdentityID))
			return err
		},
		5: func(p *symbolontest.Person) error {
			err := s.DeleteIdentity(ctx, p.IdentityID)
			admin.v.Purge(symbolon.IdentityID(p.IdentityID))
			return err
		},
		6: func(p *symbolontest.Person) error {
			err := s.Logout(ctx, p.Token)
			admin.v.PurgeSession(p.SessionID)
			return err
		},
	} {
		p := s.register(t, n)
		jwt := s.tokenise(t, p)
		if status, said := admin.sure("Authorization", "Bearer "+jwt); status != 200 {
			t.Fatalf("%d: %d %s", n, status, said)
		}
		if err := end(p); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if status, said := admin.sure("Authorization", "Bearer "+jwt); status != 401 {
			t.Errorf("%d ended: %d %s", n, status, said)
		}
		if status, _ := offline.sure("Authorization", "Bearer "+jwt); status != 200 {
			t.Errorf("case %d: status %d, want 200: without a purge the token is valid until it expires", n, status)
		}
	}
	p := s.register(t, 7)
	jwt := s.tokenise(t, p)
	if status, said := admin.sure("Authorization", "Bearer "+jwt); status != 200 {
		t.Fatalf("%d %s", status, said)
	}
	s.Stop()
	time.Sleep(2 * maxStale)
	if status, said := admin.sure("Authorization", "Bearer "+jwt); status != 200 {
		t.Errorf("Kratos is down: %d %s", status, said)
	}
	admin.v.PurgeSession(p.SessionID)
	if status, said := admin.get("Authorization", "Bearer "+jwt); status != 503 {
		t.Errorf("purged while Kratos is down: %d %s", status, said)
	}
}

// TestKratosDoesNotTakeTokens shows why tokens are never sent to Kratos (kratos#4129).
func TestKratosDoesNotTakeTokens(t *testing.T) {
	s, _ := tokenSite(t)
	p := s.register(t, 1)
	client := &ory.Client{PublicURL: s.PublicURL}
	t.Cleanup(client.CloseIdleConnections)
	if _, err := client.Whoami(t.Context(), ory.Credential{Kind: session.TokenisedSession, Value: s.tokenise(t, p)}); err == nil {
		t.Error("the token was sent to Kratos")
	}
	if status, _ := s.start(t, true).sure("Authorization", "Bearer "+s.tokenise(t, p)); status != 401 {
		t.Errorf("no Tokens: %d", status)
	}
}

// who verifies a token. Like the method sure, it repeats the check while the answer is "don't
// know".
func (a app) who(jwt string, policies ...session.Policy) (p *symbolon.Principal, err error) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		p, err = a.v.Authenticate(bearerRequest(jwt), policies...)
		if err == nil || session.Denied(err) || time.Since(began) > time.Minute {
			return p, err
		}
	}
}

func bearerRequest(jwt string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+jwt)
	return r
}
