package jwttest

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bad returns tokens of a valid session. Each token is wrong in one way. Among them are
// tokens that fooled other programs: another alg (CVE-2026-33322), another aud
// (CVE-2026-55669), an exp that is not a time (GHSA-wxg7-w2v3-w38g), a truncated token
// (CVE-2026-27840).
func Bad(t testing.TB, s Session) map[string]string {
	k, now := Private(), time.Now()
	good := Claims(s, now, 10*time.Minute)
	claims := func(more Members) string { return Sign(JSON(Header), JSON(good.With(more)), k.ES) }
	header := func(more Members) string { return Sign(JSON(Header.With(more)), JSON(good), k.ES) }
	rawHeader := func(text string) string { return Sign([]byte(text), JSON(good), k.ES) }
	// replaced replaces the value of one claim by raw JSON.
	replaced := func(name, value string) string {
		text := JSON(good.With(Members{name: "REPLACED"}))
		return Sign(JSON(Header), []byte(strings.Replace(string(text), `"REPLACED"`, value, 1)), k.ES)
	}
	token := claims(nil)
	parts := strings.Split(token, ".")
	input := parts[0] + "." + parts[1]
	digest := sha256.Sum256([]byte(input))
	mac := func(key []byte) string {
		in := B64(JSON(Header.With(Members{"alg": "HS256"}))) + "." + parts[1]
		m := hmac.New(sha256.New, key)
		m.Write([]byte(in))
		return in + "." + B64(m.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(k.ES.Public())
	if err != nil {
		t.Fatal(err)
	}
	r, sig, err := ecdsa.Sign(rand.Reader, k.ES, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	derSignature, err := asn1.Marshal(struct{ R, S *big.Int }{r, sig})
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.ES.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	attacker := jose.JSONWebKey{Key: k.Other.Public(), KeyID: "es", Algorithm: "ES256"}
	in1 := now.Unix()
	// A kid is refused only if the keys were read after the token was made. So these tokens
	// are a minute old.
	before := JSON(good.With(Members{"iat": in1 - 60, "nbf": in1 - 60}))
	kid := func(kid string) string { return Sign(JSON(Header.With(Members{"kid": kid})), before, k.ES) }
	return map[string]string{
		// Algorithms and keys
		"alg none":                      B64([]byte(`{"alg":"none","kid":"es"}`)) + "." + parts[1] + ".",
		"alg none with a signature":     header(Members{"alg": "none"}),
		"alg nOnE":                      header(Members{"alg": "nOnE"}),
		"alg empty":                     header(Members{"alg": ""}),
		"alg missing":                   header(Members{"alg": nil}),
		"alg a number":                  header(Members{"alg": 256}),
		"alg a list":                    header(Members{"alg": []string{"ES256"}}),
		"alg in small letters":          header(Members{"alg": "es256"}),
		"HS256 by the public key, DER":  mac(der),
		"HS256 by the public point":     mac(point),
		"HS256 by the JWKS":             mac([]byte(AllKeys(t))),
		"HS256 by nothing":              mac(nil),
		"ES384 with a P-256 key":        header(Members{"alg": "ES384"}),
		"RS256 with an EC key":          header(Members{"alg": "RS256"}),
		"EdDSA with an EC key":          header(Members{"alg": "EdDSA"}),
		"ES256 with an RSA key":         Sign(JSON(Members{"alg": "ES256", "kid": "rs"}), JSON(good), k.RS),
		"PS256 with a key for RS256":    Sign(JSON(Members{"alg": "PS256", "kid": "rs"}), JSON(good), k.RS),
		"RS384 that is not believed":    Sign(JSON(Members{"alg": "RS384", "kid": "rs"}), JSON(good), k.RS),
		"ES256K":                        header(Members{"alg": "ES256K"}),
		"kid of another key":            header(Members{"kid": "ed"}),
		"kid missing":                   header(Members{"kid": nil}),
		"kid empty":                     header(Members{"kid": ""}),
		"kid a number":                  header(Members{"kid": 1}),
		"kid a path":                    kid("../../dev/null"),
		"kid very long":                 header(Members{"kid": strings.Repeat("k", 300)}),
		"kid unknown":                   kid("nobody"),
		"kid in capitals":               kid("ES"),
		"a key that is not published":   Sign(JSON(Header), JSON(good), k.Other),
		"an embedded jwk":               Sign(JSON(Header.With(Members{"jwk": attacker})), JSON(good), k.Other),
		"an embedded jwk, rightly ours": header(Members{"jwk": jose.JSONWebKey{Key: k.ES.Public()}}),
		"jku":                           Sign(JSON(Header.With(Members{"jku": "https://evil.example/jwks.json"})), JSON(good), k.Other),
		"x5u":                           Sign(JSON(Header.With(Members{"x5u": "https://evil.example/cert.pem"})), JSON(good), k.Other),
		"x5c":                           header(Members{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}),
		"x5t":                           header(Members{"x5t": "AAAA"}),

		// The header
		"crit":                       header(Members{"crit": []string{"exp"}}),
		"crit empty":                 header(Members{"crit": []string{}}),
		"b64 false":                  header(Members{"b64": false, "crit": []string{"b64"}}),
		"b64 false without crit":     header(Members{"b64": false}),
		"zip":                        header(Members{"zip": "DEF"}),
		"cty, a nested token":        header(Members{"cty": "JWT"}),
		"enc":                        header(Members{"enc": "A256GCM"}),
		"nonce":                      header(Members{"nonce": "x"}),
		"typ of an access token":     header(Members{"typ": "at+jwt"}),
		"typ a number":               header(Members{"typ": 1}),
		"typ empty":                  header(Members{"typ": ""}),
		"header twice alg":           rawHeader(`{"alg":"none","kid":"es","alg":"ES256"}`),
		"header alg and Alg":         rawHeader(`{"alg":"ES256","kid":"es","Alg":"none"}`),
		"header alg escaped twice":   rawHeader(`{"\u0061lg":"none","kid":"es","alg":"ES256"}`),
		"header with bytes behind":   rawHeader(`{"alg":"ES256","kid":"es"}{}`),
		"header a list":              rawHeader(`["alg","ES256"]`),
		"header null":                rawHeader(`null`),
		"header not UTF-8":           rawHeader("{\"alg\":\"ES256\",\"kid\":\"es\xff\"}"),
		"header with a BOM":          rawHeader("\ufeff" + `{"alg":"ES256","kid":"es"}`),
		"header long":                rawHeader(`{"alg":"ES256","kid":"es"` + strings.Repeat(" ", 1<<10) + `}`),
		"header deep":                rawHeader(`{"alg":"ES256","kid":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`),
		"header empty":               "." + parts[1] + "." + parts[2],
		"claims empty":               parts[0] + ".." + parts[2],
		"signature empty":            input + ".",
		"signature missing":          input,
		"dots (CVE-2025-30204)":      strings.Repeat(".", 8<<10),
		"two parts":                  input + parts[2],
		"four parts":                 token + ".AAAA",
		"five parts: JWE":            B64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rs"}`)) + ".AAAA.AAAA.AAAA.AAAA",
		"JSON form, one signature":   `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"JSON form, two signatures":  `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"},{"protected":"` + parts[0] + `","signature":"AAAA"}]}`,
		"a detached payload":         parts[0] + ".." + parts[2],
		"signature shortened":        token[:len(token)-4],
		"signature with padding":     token + "==",
		"signature lengthened":       token + "AAAA",
		"header with padding":        parts[0] + "=." + parts[1] + "." + parts[2],
		"trailing bits":              input + "." + trailing(parts[2]),
		"base64 of the other kind":   input + "." + strings.NewReplacer("-", "+", "_", "/").Replace(withDash(input, k.ES)),
		"a line break":               parts[0] + "." + parts[1] + "\n." + parts[2],
		"a space before":             " " + token,
		"a space behind":             token + " ",
		"a tab inside":               parts[0] + ".\t" + parts[1] + "." + parts[2],
		"two tokens":                 token + ", " + token,
		"not ASCII":                  token[:9] + "é" + token[9:],
		"NUL behind":                 token + "\x00",
		"psychic: r = s = 0":         input + "." + B64(make([]byte, 64)),
		"psychic: r = s = n":         input + "." + B64(append(k.ES.Params().N.FillBytes(make([]byte, 32)), k.ES.Params().N.FillBytes(make([]byte, 32))...)),
		"signature in DER":           input + "." + B64(derSignature),
		"signature of another token": input + "." + strings.Split(claims(Members{"jti": "x"}), ".")[2],
		"EdDSA: R and S zero":        edWith(good, make([]byte, 64)),
		"EdDSA: R the neutral point": edWith(good, append([]byte{1}, make([]byte, 63)...)),
		"RS256: signature zero":      rsWith(good, make([]byte, 256)),
		"RS256: signature one":       rsWith(good, append(make([]byte, 255), 1)),
		"oversize":                   claims(Members{"pad": strings.Repeat("x", 8<<10)}),

		// The claims
		"claims a list":             Sign(JSON(Header), []byte(`[]`), k.ES),
		"claims not JSON":           Sign(JSON(Header), []byte(`{"iss":`), k.ES),
		"claims with bytes behind":  Sign(JSON(Header), append(JSON(good), " x"...), k.ES),
		"claims not UTF-8":          Sign(JSON(Header), append([]byte("{\"x\":\"\xff\","), JSON(good)[1:]...), k.ES),
		"sub twice":                 Sign(JSON(Header), append([]byte(`{"sub":"00000009-1de0-4000-8000-000000000000",`), JSON(good)[1:]...), k.ES),
		"SUB beside sub":            Sign(JSON(Header), append([]byte(`{"SUB":"00000009-1de0-4000-8000-000000000000",`), JSON(good)[1:]...), k.ES),
		"exp twice":                 Sign(JSON(Header), append([]byte(`{"exp":9999999999,`), JSON(good)[1:]...), k.ES),
		"claims deep":               replaced("x", strings.Repeat("[", 40)+strings.Repeat("]", 40)),
		"iss missing":               claims(Members{"iss": nil}),
		"iss empty":                 claims(Members{"iss": ""}),
		"iss a prefix of ours":      claims(Members{"iss": strings.TrimSuffix(Issuer, "/")}),
		"iss ours and more":         claims(Members{"iss": Issuer + "x"}),
		"iss in capitals":           claims(Members{"iss": strings.ToUpper(Issuer)}),
		"iss with a space":          claims(Members{"iss": Issuer + " "}),
		"iss a list":                claims(Members{"iss": []string{Issuer}}),
		"iss of the application":    claims(Members{"iss": "https://app.example"}),
		"aud missing":               claims(Members{"aud": nil}),
		"aud null":                  replaced("aud", "null"),
		"aud empty":                 claims(Members{"aud": ""}),
		"aud another":               claims(Members{"aud": "billing"}),
		"aud a prefix":              claims(Members{"aud": "note"}),
		"aud a list of others":      claims(Members{"aud": []string{"billing", "notes2"}}),
		"aud an empty list":         claims(Members{"aud": []string{}}),
		"aud a list with a number":  claims(Members{"aud": []any{"notes", 1}}),
		"aud a list in a list":      claims(Members{"aud": []any{[]string{"notes"}}}),
		"aud an object":             claims(Members{"aud": Members{"notes": true}}),
		"exp missing":               claims(Members{"exp": nil}),
		"exp null":                  replaced("exp", "null"),
		"exp text":                  claims(Members{"exp": "9999999999"}),
		"exp a fraction":            replaced("exp", "9999999999.5"),
		"exp with an exponent":      replaced("exp", "1e10"),
		"exp negative":              claims(Members{"exp": -1}),
		"exp zero":                  claims(Members{"exp": 0}),
		"exp huge":                  replaced("exp", strings.Repeat("9", 40)),
		"exp beyond 2^63":           replaced("exp", "9223372036854775808"),
		"exp in milliseconds":       claims(Members{"exp": (in1 + 600) * 1000}),
		"exp a boolean":             claims(Members{"exp": true}),
		"exp now":                   claims(Members{"exp": in1, "iat": in1 - 60, "nbf": in1 - 60}),
		"exp a second ago":          claims(Members{"exp": in1 - 1, "iat": in1 - 60, "nbf": in1 - 60}),
		"exp before iat":            claims(Members{"exp": in1 + 5, "iat": in1 + 6}),
		"a life of a day":           claims(Members{"exp": in1 + 86400}),
		"iat missing":               claims(Members{"iat": nil}),
		"iat in the future":         claims(Members{"iat": in1 + 60}),
		"iat text":                  claims(Members{"iat": "1"}),
		"nbf missing":               claims(Members{"nbf": nil}),
		"nbf in the future":         claims(Members{"nbf": in1 + 60}),
		"nbf a fraction":            replaced("nbf", "1.5"),
		"sub missing":               claims(Members{"sub": nil}),
		"sub empty":                 claims(Members{"sub": ""}),
		"sub null":                  replaced("sub", "null"),
		"sub the nil UUID":          claims(Members{"sub": "00000000-0000-0000-0000-000000000000"}),
		"sub no UUID":               claims(Members{"sub": "alice"}),
		"sub a number":              claims(Members{"sub": 7}),
		"sub a list":                claims(Members{"sub": []string{s.Identity}}),
		"sub in braces":             claims(Members{"sub": "{" + s.Identity + "}"}),
		"sub urn":                   claims(Members{"sub": "urn:uuid:" + s.Identity}),
		"sub in capitals":           claims(Members{"sub": strings.ToUpper(s.Identity)}),
		"sub with a space":          claims(Members{"sub": s.Identity + " "}),
		"sub full width":            claims(Members{"sub": "０" + s.Identity[1:]}),
		"sid no UUID":               claims(Members{"sid": "x"}),
		"sid a number":              claims(Members{"sid": 1}),
		"aal a number":              claims(Members{"aal": 2}),
		"aal a list":                claims(Members{"aal": []string{"aal2"}}),
		"authenticated_at a number": claims(Members{"authenticated_at": in1}),
		"authenticated_at to come":  claims(Members{"authenticated_at": now.Add(time.Hour).Format(time.RFC3339)}),
		"email_verified text":       claims(Members{"email_verified": "true"}),
		"email a number":            claims(Members{"email": 1, "email_verified": true}),
	}
}

// trailing sets a bit after the end of 64 bytes, which lenient decoders ignore.
func trailing(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, signature[len(signature)-1])
	return signature[:len(signature)-1] + string(alphabet[last|1])
}

// withDash signs again until the signature has a character that base64 and base64url write
// differently.
func withDash(input string, key *ecdsa.PrivateKey) string {
	digest := sha256.Sum256([]byte(input))
	for {
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		text := B64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		if strings.ContainsAny(text, "-_") {
			return text
		}
	}
}

func edWith(claims Members, signature []byte) string {
	return B64(JSON(Members{"alg": "EdDSA", "kid": "ed"})) + "." + B64(JSON(claims)) + "." + B64(signature)
}

func rsWith(claims Members, signature []byte) string {
	return B64(JSON(Members{"alg": "RS256", "kid": "rs"})) + "." + B64(JSON(claims)) + "." + B64(signature)
}
