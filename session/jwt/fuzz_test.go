package jwt

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon/session/internal/jwttest"
)

// fixed returns the same configuration, time and token in every run, so that a fuzzing
// result can be repeated.
func fixed() (tokens *Verifier, set *keySet, now time.Time, good string) {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat("f", ed25519.SeedSize)))
	now = time.Unix(1795600000, 0)
	tokens = &Verifier{Issuer: jwttest.Issuer, Audience: jwttest.Audience}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k", Algorithm: "EdDSA", Use: "sig"}}})
	if err != nil {
		panic(err)
	}
	if set, err = parseJWKS(text, tokens.algorithms()); err != nil {
		panic(err)
	}
	s := jwttest.Session{ID: "00000001-5e55-4000-8000-000000000000", Identity: "00000001-1de0-4000-8000-000000000000", AAL: "aal1", Verified: true, Authenticated: now}
	good = jwttest.Sign([]byte(`{"alg":"EdDSA","kid":"k","typ":"JWT"}`), jwttest.JSON(jwttest.Claims(s, now, time.Minute)), private)
	return tokens, set, now, good
}

// lets reports whether a token is valid, and returns it.
func lets(tokens *Verifier, set *keySet, raw string, now time.Time) (*Token, bool) {
	t, err := tokens.Read(raw, now)
	if err != nil || set.keys[t.kid] == nil {
		return nil, false
	}
	return t, tokens.verify(raw, t, set.keys[t.kid]) == nil
}

// FuzzToken checks that only the one signed token is valid, byte by byte.
func FuzzToken(f *testing.F) {
	tokens, set, now, good := fixed()
	f.Add(good)
	parts := strings.Split(good, ".")
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add(jwttest.B64([]byte(`{"alg":"none","kid":"k"}`)) + "." + parts[1] + ".")
	f.Add(jwttest.B64([]byte(`{"alg":"HS256","kid":"k","jwk":{"kty":"oct","k":"AAAA"}}`)) + "." + parts[1] + "." + parts[2])
	f.Add(jwttest.B64([]byte(`{"alg":"EdDSA","kid":"k","crit":["b64"],"b64":false}`)) + "." + parts[1] + "." + parts[2])
	f.Add(good + "." + parts[2])
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, in := lets(tokens, set, raw, now)
		if in != (raw == good) {
			t.Errorf("%q lets in: %v", raw, in)
		}
		if in && (tok.Identity == "" || tok.Session == "" || tok.key == nil) {
			t.Errorf("%+v", tok)
		}
		if shaped := IsShaped(raw); in && !shaped || shaped && strings.Count(raw, ".") != 2 {
			t.Errorf("%q has the form of a token: %v", raw, shaped)
		}
	})
}

// FuzzJWKS checks that every accepted key is public and for an accepted algorithm.
func FuzzJWKS(f *testing.F) {
	k := jwttest.Private()
	f.Add([]byte(jwttest.JWKS(f, "es", "ES256", k.ES.Public(), "ed", "EdDSA", k.ED.Public(), "rs", "RS256", k.RS.Public())))
	f.Add(jwttest.JSON(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.ES, KeyID: "es"}}}))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"x"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"x","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"AA","kid":"x","alg":"RS256"}]}`))
	allowed := (&Verifier{}).algorithms()
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := parseJWKS(doc, allowed)
		if err != nil {
			return
		}
		for kid, key := range set.keys {
			public := jose.JSONWebKey{Key: key.public}
			if kid == "" || kid != key.kid || !slices.Contains(allowed, key.algorithm) || !public.Valid() || !public.IsPublic() {
				t.Errorf("%q gives %+v", doc, key)
			}
		}
	})
}

// TestFlippedTokens checks that a valid token with one byte changed, removed or added is
// not valid.
func TestFlippedTokens(t *testing.T) {
	k, now := jwttest.Private(), time.Now()
	tokens := &Verifier{Issuer: jwttest.Issuer, Audience: jwttest.Audience}
	set, err := parseJWKS([]byte(jwttest.AllKeys(t)), tokens.algorithms())
	if err != nil {
		t.Fatal(err)
	}
	s := jwttest.Session{ID: "00000001-5e55-4000-8000-000000000000", Identity: "00000001-1de0-4000-8000-000000000000", AAL: "aal1", Authenticated: now}
	claims := jwttest.JSON(jwttest.Claims(s, now, time.Minute))
	good := []string{jwttest.Sign(jwttest.JSON(jwttest.Header), claims, k.ES), jwttest.Sign([]byte(`{"alg":"EdDSA","kid":"ed"}`), claims, k.ED), jwttest.Sign([]byte(`{"alg":"RS256","kid":"rs"}`), claims, k.RS)}
	for _, raw := range good {
		if _, in := lets(tokens, set, raw, now); !in {
			t.Fatalf("%s is refused", raw)
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\x00\xff"
	rapid.Check(t, func(r *rapid.T) {
		raw := rapid.SampledFrom(good).Draw(r, "token")
		at := rapid.IntRange(0, len(raw)-1).Draw(r, "at")
		b := alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(r, "byte")]
		changed := raw[:at] + string(rune(b)) + raw[at+1:]
		switch rapid.IntRange(0, 3).Draw(r, "how") {
		case 0:
			changed = raw[:at] + raw[at+1:]
		case 1:
			changed = raw[:at] + string(b) + raw[at:]
		}
		if changed == raw {
			return
		}
		if _, in := lets(tokens, set, changed, now); in {
			r.Fatalf("%q was accepted, but %q was signed", changed, raw)
		}
	})
}
