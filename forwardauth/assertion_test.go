package forwardauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
)

func newSigner(now *time.Time) *assertion.Signer {
	secrets := []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}
	return &assertion.Signer{Issuer: "http://symbolon:4460", Audience: "app", Secrets: secrets, Now: func() time.Time { return *now }}
}

// verify verifies an assertion as an application does.
func verify(t testing.TB, token string, s *assertion.Signer, at time.Time) (claims map[string]any) {
	t.Helper()
	rec := httptest.NewRecorder()
	s.JWKS().ServeHTTP(rec, httptest.NewRequest("GET", "/.well-known/jwks.json", nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatalf("%q: %v", token, err)
	}
	var standard jwt.Claims
	if err := parsed.Claims(set, &standard, &claims); err != nil {
		t.Fatal(err)
	}
	if err := standard.ValidateWithLeeway(jwt.Expected{Issuer: s.Issuer, AnyAudience: jwt.Audience{s.Audience}, Time: at}, 0); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestForwardAuthAssertion checks that the last header is an assertion if the person is
// signed in.
func TestForwardAuthAssertion(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	now := time.Now()
	f := &ForwardAuth{Verifier: w.v, Signer: newSigner(&now)}
	for path, want := range map[string]string{"/auth": token, "/auth/optional": ""} {
		r := request("X-Session-Token", want)
		r.URL.Path = path
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, r)
		got := rec.Header()["X-Auth-Assertion"]
		if rec.Code != 200 || len(got) != 1 || (got[0] == "") != (want == "") {
			t.Fatalf("%s: %d %q", path, rec.Code, got)
		}
		if want != "" {
			if c := verify(t, got[0], f.Signer, now); c["sub"] != "user-of-"+s.IdentityID || c["session"] != s.ID {
				t.Errorf("%v", c)
			}
		}
	}
}

func BenchmarkForwardAuth(b *testing.B) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60
	token, _ := w.person(1)
	r := byToken(token)
	r.URL.Path = "/auth"
	h := &ForwardAuth{Verifier: w.v}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&written{header: http.Header{}}, r)
	}
}
