package jwt

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon/session/internal/jwttest"
)

// TestBadKeySets has sets that must be refused.
func TestBadKeySets(t *testing.T) {
	k := jwttest.Private()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := func(key any) string { return string(jwttest.JSON(jose.JSONWebKey{Key: key, KeyID: "x", Use: "sig"})) }
	one := func(text string) string { return `{"keys":[` + text + `]}` }
	public := func(more jwttest.Members) string {
		m := jwttest.Members{}
		if err := json.Unmarshal(jwttest.JSON(jose.JSONWebKey{Key: k.ES.Public(), KeyID: "es"}), &m); err != nil {
			t.Fatal(err)
		}
		return string(jwttest.JSON(m.With(more)))
	}
	for name, test := range map[string]struct{ set, says string }{
		"not JSON":              {`{`, "not a key set"},
		"a list":                {`[]`, "not a key set"},
		"a single key":          {public(nil), "not a key set"},
		"keys twice":            {`{"keys":[],"keys":[]}`, "twice"},
		"empty":                 {`{"keys":[]}`, "no usable key"},
		"too large":             {one(public(nil)) + strings.Repeat(" ", maxJWKS), "256 kB"},
		"too many":              {one(strings.Repeat(public(nil)+",", 65) + public(nil)), "at most 64"},
		"EC private":            {one(private(k.ES)), "publish only the public halves"},
		"EdDSA private":         {one(private(k.ED)), "publish only the public halves"},
		"RSA private":           {one(private(k.RS)), "publish only the public halves"},
		"symmetric":             {one(`{"kty":"oct","kid":"x","k":"AAAA","alg":"HS256"}`), "publish only the public halves"},
		"one of two private":    {one(public(nil) + "," + private(k.ED)), "publish only the public halves"},
		"d empty":               {one(public(jwttest.Members{"d": ""})), "publish only the public halves"},
		"a kid twice":           {one(public(nil) + "," + public(jwttest.Members{"alg": "ES256"})), "an earlier key has the same kid"},
		"no kid":                {one(public(jwttest.Members{"kid": nil})), "no kid"},
		"kid a number":          {one(public(jwttest.Members{"kid": 1})), "no kid"},
		"for encryption":        {one(public(jwttest.Members{"use": "enc"})), "use or key_ops"},
		"to sign":               {one(public(jwttest.Members{"key_ops": []string{"sign"}})), "use or key_ops"},
		"alg of another kty":    {one(public(jwttest.Members{"alg": "EdDSA"})), "alg that fits"},
		"alg of another curve":  {one(public(jwttest.Members{"alg": "ES384"})), "alg that fits"},
		"alg HS256":             {one(public(jwttest.Members{"alg": "HS256"})), "alg that fits"},
		"alg none":              {one(public(jwttest.Members{"alg": "none"})), "alg that fits"},
		"a point off the curve": {one(public(jwttest.Members{"x": jwttest.B64(make([]byte, 32))})), "not a valid public key"},
		"kty unknown":           {one(public(jwttest.Members{"kty": "XX"})), "not a valid public key"},
		"X25519":                {one(`{"kty":"OKP","crv":"X25519","kid":"x","x":"` + jwttest.B64(make([]byte, 32)) + `"}`), "not a valid public key"},
		"Ed25519 short":         {one(`{"kty":"OKP","crv":"Ed25519","kid":"x","x":"` + jwttest.B64(make([]byte, 31)) + `"}`), "not a valid public key"},
		"Ed25519 of low order":  {one(`{"kty":"OKP","crv":"Ed25519","kid":"x","x":"` + jwttest.B64(append([]byte{1}, make([]byte, 31)...)) + `"}`), "not a valid public key"},
		"RSA of 1024 bits":      {jwttest.JWKS(t, "rs", "RS256", small.Public()), "bits"},
		"RSA with exponent 1":   {one(`{"kty":"RSA","kid":"x","alg":"RS256","e":"AQ","n":"` + jwttest.B64(k.RS.N.Bytes()) + `"}`), "not a valid public key"},
		"RSA without alg":       {jwttest.JWKS(t, "rs", "", k.RS.Public()), "alg that fits"},
		"RS512, not believed":   {jwttest.JWKS(t, "rs", "RS512", k.RS.Public()), "not among"},
	} {
		set, err := parseJWKS([]byte(test.set), (&Verifier{}).algorithms())
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
	set, err := parseJWKS([]byte(one(public(nil)+","+public(jwttest.Members{"kid": "enc", "use": "enc"})+`,{"kty":"new"}`)), (&Verifier{}).algorithms())
	if err != nil || len(set.keys) != 1 || set.keys["es"].algorithm != "ES256" || len(set.unused) != 2 {
		t.Errorf("other keys beside a good one: %v %v", set, err)
	}
}

// TestLowOrder checks that points of Ed25519 for which anybody can forge signatures are
// refused as keys.
func TestLowOrder(t *testing.T) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		point, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		forged, found := append([]byte{1}, make([]byte, 63)...), false
		for n := range 400 {
			found = found || ed25519.Verify(point, fmt.Append(nil, n), forged)
		}
		if !found {
			t.Errorf("%s: the forged signature was not accepted by Ed25519", text)
		}
		for _, sign := range []byte{0, 0x80} {
			point[31] |= sign
			set, err := parseJWKS([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"x","x":"`+jwttest.B64(point)+`"}]}`), (&Verifier{}).algorithms())
			if err == nil {
				t.Errorf("%x is a key: %v", point, set)
			}
		}
	}
}
