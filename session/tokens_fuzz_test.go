package session

import (
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"
)

// fixed is a key, a moment and a token that are the same in every run, so that what
// was found by fuzzing means the same later.
func fixed() (tokens *Tokens, set *tokenKeys, now time.Time, good string) {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat("f", ed25519.SeedSize)))
	now = time.Unix(1795600000, 0)
	tokens = &Tokens{Issuer: tokenIssuer, Audience: tokenAudience}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k", Algorithm: "EdDSA", Use: "sig"}}})
	if err != nil {
		panic(err)
	}
	if set, err = parseJWKS(text, tokens.algorithms()); err != nil {
		panic(err)
	}
	s := &fakeSession{id: "00000001-5e55-4000-8000-000000000000", identity: "00000001-1de0-4000-8000-000000000000", aal: "aal1", verified: true, authenticated: now}
	good = signRaw([]byte(`{"alg":"EdDSA","kid":"k","typ":"JWT"}`), jsonOf(claimsFor(s, now, time.Minute)), private)
	return tokens, set, now, good
}

// lets reports whether a token would let somebody in, and whom.
func lets(tokens *Tokens, set *tokenKeys, raw string, now time.Time) (*token, bool) {
	t, err := tokens.read(raw, now)
	if err != nil || set.keys[t.kid] == nil {
		return nil, false
	}
	return t, tokens.verify(raw, t, set.keys[t.kid]) == nil
}

// FuzzToken: whatever a stranger sends, nobody gets in but by the one token that was
// signed, byte for byte.
func FuzzToken(f *testing.F) {
	tokens, set, now, good := fixed()
	f.Add(good)
	parts := strings.Split(good, ".")
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add(b64([]byte(`{"alg":"none","kid":"k"}`)) + "." + parts[1] + ".")
	f.Add(b64([]byte(`{"alg":"HS256","kid":"k","jwk":{"kty":"oct","k":"AAAA"}}`)) + "." + parts[1] + "." + parts[2])
	f.Add(b64([]byte(`{"alg":"EdDSA","kid":"k","crit":["b64"],"b64":false}`)) + "." + parts[1] + "." + parts[2])
	f.Add(good + "." + parts[2])
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, in := lets(tokens, set, raw, now)
		if in != (raw == good) {
			t.Errorf("%q lets in: %v", raw, in)
		}
		if in && (tok.identity == "" || tok.session == "" || tok.key == nil) {
			t.Errorf("%+v", tok)
		}
		if kind, value, ok := bearerToken([]string{"Bearer " + raw}); ok && (value != raw || kind == TokenisedSession && strings.Count(raw, ".") != 2) {
			t.Errorf("%q is taken for %s %q", raw, kind, value)
		}
	})
}

// FuzzJWKS: whatever is published, what comes out is public, and for one algorithm
// that is believed.
func FuzzJWKS(f *testing.F) {
	k := keysOnce()
	f.Add([]byte(jwksOf(f, "es", "ES256", k.es.Public(), "ed", "EdDSA", k.ed.Public(), "rs", "RS256", k.rs.Public())))
	f.Add(jsonOf(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.es, KeyID: "es"}}}))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"x"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"x","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"AA","kid":"x","alg":"RS256"}]}`))
	allowed := (&Tokens{}).algorithms()
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

// TestFlippedTokens: a good token of each algorithm with any one byte changed, left
// out or put in lets nobody in.
func TestFlippedTokens(t *testing.T) {
	k, now := keysOnce(), time.Now()
	tokens := &Tokens{Issuer: tokenIssuer, Audience: tokenAudience}
	set, err := parseJWKS([]byte(allKeys(t)), tokens.algorithms())
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeSession{id: "00000001-5e55-4000-8000-000000000000", identity: "00000001-1de0-4000-8000-000000000000", aal: "aal1", authenticated: now}
	claims := jsonOf(claimsFor(s, now, time.Minute))
	good := []string{signRaw(jsonOf(headerES), claims, k.es), signRaw([]byte(`{"alg":"EdDSA","kid":"ed"}`), claims, k.ed), signRaw([]byte(`{"alg":"RS256","kid":"rs"}`), claims, k.rs)}
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
			r.Fatalf("%q lets in, %q was signed", changed, raw)
		}
	})
}

// BenchmarkTokens: one that is cached, one that is verified, and one of the
// application's own, which nothing is remembered of.
func BenchmarkTokens(b *testing.B) {
	w, _ := tokenWorld(b)
	w.v.Log = slog.New(slog.DiscardHandler)
	_, s := w.person(1)
	token := tokenise(s)
	if _, err := w.v.Authenticate(byBearer(token)); err != nil {
		b.Fatal(err)
	}
	cached, foreign := byBearer(token), byBearer(tokenise(s, members{"iss": "https://app.example"}))
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.Authenticate(cached); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verified", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.keys.verify(b.Context(), token, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("foreign", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.Authenticate(foreign); err == nil {
				b.Fatal("it lets in")
			}
		}
	})
}
