package assertion

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/symbolon-id/symbolon"
)

var signerSecrets = []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"), symbolon.Secret("Zq8Rm3VnX5cTp1WbY7fJk2LsGd9HtE4u")}

func newSigner(now *time.Time) *Signer {
	return &Signer{Issuer: "http://symbolon:4460", Audience: "app", Secrets: signerSecrets[:1], Now: func() time.Time { return *now }}
}

func signedIn(n string, now time.Time) *symbolon.Principal {
	return &symbolon.Principal{User: symbolon.User{ID: symbolon.UserID("user-" + n), Identity: "00000001-1de0-4000-8000-000000000000"},
		Session: symbolon.Session{ID: "session-" + n, AAL: "aal1", ExpiresAt: now.Add(time.Hour)}}
}

// keySet returns the key set that the handler serves.
func keySet(t testing.TB, s *Signer) jose.JSONWebKeySet {
	t.Helper()
	rec := httptest.NewRecorder()
	s.JWKS().ServeHTTP(rec, httptest.NewRequest("GET", "/.well-known/jwks.json", nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s %v", rec.Code, rec.Body, err)
	}
	return set
}

// verify verifies an assertion as an application does.
func verify(t testing.TB, token string, set jose.JSONWebKeySet, at time.Time) (claims map[string]any) {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatalf("%q: %v", token, err)
	}
	var standard jwt.Claims
	if err := parsed.Claims(set, &standard, &claims); err != nil {
		t.Fatal(err)
	}
	if err := standard.ValidateWithLeeway(jwt.Expected{Issuer: "http://symbolon:4460", AnyAudience: jwt.Audience{"app"}, Time: at}, 0); err != nil {
		t.Fatal(err)
	}
	return claims
}

func assert(t testing.TB, s *Signer, p *symbolon.Principal) string {
	t.Helper()
	token, err := s.Assert(p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAssertion(t *testing.T) {
	now := time.Date(2026, 11, 25, 23, 58, 30, 0, time.UTC)
	s := newSigner(&now)
	p := signedIn("1", now)
	first := assert(t, s, p)
	claims := verify(t, first, keySet(t, s), now)
	if claims["sub"] != "user-1" || claims["identity"] != string(p.User.Identity) || claims["session"] != "session-1" || claims["aal"] != "aal1" ||
		claims["exp"].(float64)-claims["iat"].(float64) != 60 || len(claims) != 8 {
		t.Errorf("%v", claims)
	}
	now = now.Add(29 * time.Second)
	if assert(t, s, p) != first {
		t.Error("the assertion was signed again within half its life")
	}
	now = now.Add(2 * time.Second)
	second := assert(t, s, p)
	if second == first {
		t.Error("the assertion was given out after half its life")
	}
	// Another user, or a completed second factor, gets another assertion.
	for _, other := range []func(*symbolon.Principal){
		func(p *symbolon.Principal) { p.User.ID = "user-2" }, func(p *symbolon.Principal) { p.User.Identity = "other" },
		func(p *symbolon.Principal) { p.Session.ID = "other" }, func(p *symbolon.Principal) { p.Session.AAL = "aal2" },
	} {
		q := *p
		other(&q)
		c := verify(t, assert(t, s, &q), keySet(t, s), now)
		if c["sub"] != string(q.User.ID) || c["identity"] != string(q.User.Identity) || c["session"] != q.Session.ID || c["aal"] != q.Session.AAL {
			t.Errorf("%v", c)
		}
	}
	// The session's last minute, and a clock that was set back.
	short := signedIn("3", now)
	short.Session.ExpiresAt = now.Add(20 * time.Second)
	c := verify(t, assert(t, s, short), keySet(t, s), now)
	if c["exp"].(float64) > float64(short.Session.ExpiresAt.Unix()) {
		t.Errorf("the assertion outlives the session: %v", c)
	}
	now = now.Add(-time.Hour)
	verify(t, assert(t, s, p), keySet(t, s), now)
}

// TestAssertionKeys checks that the set has the keys of yesterday, today and tomorrow for
// each secret, and that a fetched set can be used for a day.
func TestAssertionKeys(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s := newSigner(&now)
	old := keySet(t, s)
	token := assert(t, s, signedIn("1", now))
	if len(old.Keys) != 3 {
		t.Fatalf("%d keys", len(old.Keys))
	}
	for _, k := range old.Keys {
		public, ok := k.Key.(ed25519.PublicKey)
		if !ok || len(public) != 32 || !k.IsPublic() || k.Algorithm != "EdDSA" || k.Use != "sig" || k.KeyID == "" {
			t.Errorf("%+v", k)
		}
	}
	now = now.Add(24 * time.Hour)
	p := signedIn("1", now)
	next := assert(t, s, p)
	if kid(t, next) == kid(t, token) {
		t.Error("two days have the same key")
	}
	verify(t, next, old, now)
	verify(t, token, keySet(t, s), now.Add(-24*time.Hour))

	// During a rotation of the secret each replica verifies the assertions of both.
	rotated := newSigner(&now)
	rotated.Secrets = []symbolon.Secret{signerSecrets[1], signerSecrets[0]}
	if set := keySet(t, rotated); len(set.Keys) != 6 {
		t.Errorf("%d keys", len(set.Keys))
	}
	verify(t, next, keySet(t, rotated), now)
	verify(t, assert(t, rotated, p), keySet(t, rotated), now)
	if kid(t, assert(t, rotated, p)) == kid(t, next) {
		t.Error("two secrets have the same key")
	}
	if set := keySet(t, nil); set.Keys == nil || len(set.Keys) != 0 {
		t.Errorf("without a signer: %v", set)
	}
	rec := httptest.NewRecorder()
	s.JWKS().ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Header().Get("Cache-Control") != "public, max-age=3600" || strings.Contains(rec.Body.String(), `"d"`) {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
}

func kid(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Signatures[0].Header.KeyID
}

func TestSignerCheck(t *testing.T) {
	for name, s := range map[string]*Signer{"no issuer": {Audience: "a", Secrets: signerSecrets}, "no audience": {Issuer: "a", Secrets: signerSecrets},
		"no secret": {Issuer: "a", Audience: "b"}} {
		if s.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
		if token, err := s.Assert(signedIn("1", time.Now())); token != "" || err == nil {
			t.Errorf("%s: %q %v", name, token, err)
		}
	}
}

func BenchmarkAssertion(b *testing.B) {
	now := time.Now()
	s := newSigner(&now)
	p := signedIn("1", now)
	for b.Loop() {
		_, _ = s.Assert(p)
	}
}

// TestAssertionLife checks that an assertion is given out for half a minute and is valid
// for a minute.
func TestAssertionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Signer{Issuer: "http://symbolon:4460", Audience: "app", Secrets: signerSecrets[:1]}
		p := signedIn("1", time.Now())
		first := assert(t, s, p)
		time.Sleep(30*time.Second - time.Millisecond)
		if assert(t, s, p) != first {
			t.Error("the assertion was signed again within half its life")
		}
		verify(t, first, keySet(t, s), time.Now().Add(30*time.Second)) // valid for at least half a minute after it was given out
		time.Sleep(time.Millisecond)
		if assert(t, s, p) == first {
			t.Error("the assertion was given out after half its life")
		}
	})
}
