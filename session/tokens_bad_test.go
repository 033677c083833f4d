package session

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// badTokens are made of a session that is good: each is wrong in one way. Among them
// are those by which others were fooled: another alg (CVE-2026-33322), another aud
// (CVE-2026-55669), an exp that is not one (GHSA-wxg7-w2v3-w38g), a token cut short
// (CVE-2026-27840).
func badTokens(t testing.TB, s *fakeSession) map[string]string {
	k, now := keysOnce(), time.Now()
	good := claimsFor(s, now, 10*time.Minute)
	claims := func(more members) string { return signRaw(jsonOf(headerES), jsonOf(good.with(more)), k.es) }
	header := func(more members) string { return signRaw(jsonOf(headerES.with(more)), jsonOf(good), k.es) }
	rawHeader := func(text string) string { return signRaw([]byte(text), jsonOf(good), k.es) }
	// replaced puts raw JSON in the place of one claim.
	replaced := func(name, value string) string {
		text := jsonOf(good.with(members{name: "REPLACED"}))
		return signRaw(jsonOf(headerES), []byte(strings.Replace(string(text), `"REPLACED"`, value, 1)), k.es)
	}
	token := claims(nil)
	parts := strings.Split(token, ".")
	input := parts[0] + "." + parts[1]
	digest := sha256.Sum256([]byte(input))
	mac := func(key []byte) string {
		in := b64(jsonOf(headerES.with(members{"alg": "HS256"}))) + "." + parts[1]
		m := hmac.New(sha256.New, key)
		m.Write([]byte(in))
		return in + "." + b64(m.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(k.es.Public())
	if err != nil {
		t.Fatal(err)
	}
	r, sig, err := ecdsa.Sign(rand.Reader, k.es, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	derSignature, err := asn1.Marshal(struct{ R, S *big.Int }{r, sig})
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.es.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	attacker := jose.JSONWebKey{Key: k.other.Public(), KeyID: "es", Algorithm: "ES256"}
	in1 := now.Unix()
	// A kid that was not published after the token was made is none; else it is not known.
	before := jsonOf(good.with(members{"iat": in1 - 60, "nbf": in1 - 60}))
	kid := func(kid string) string { return signRaw(jsonOf(headerES.with(members{"kid": kid})), before, k.es) }
	return map[string]string{
		// Algorithms and keys
		"alg none":                      b64([]byte(`{"alg":"none","kid":"es"}`)) + "." + parts[1] + ".",
		"alg none with a signature":     header(members{"alg": "none"}),
		"alg nOnE":                      header(members{"alg": "nOnE"}),
		"alg empty":                     header(members{"alg": ""}),
		"alg missing":                   header(members{"alg": nil}),
		"alg a number":                  header(members{"alg": 256}),
		"alg a list":                    header(members{"alg": []string{"ES256"}}),
		"alg in small letters":          header(members{"alg": "es256"}),
		"HS256 by the public key, DER":  mac(der),
		"HS256 by the public point":     mac(point),
		"HS256 by the JWKS":             mac([]byte(allKeys(t))),
		"HS256 by nothing":              mac(nil),
		"ES384 with a P-256 key":        header(members{"alg": "ES384"}),
		"RS256 with an EC key":          header(members{"alg": "RS256"}),
		"EdDSA with an EC key":          header(members{"alg": "EdDSA"}),
		"ES256 with an RSA key":         signRaw(jsonOf(members{"alg": "ES256", "kid": "rs"}), jsonOf(good), k.rs),
		"PS256 with a key for RS256":    signRaw(jsonOf(members{"alg": "PS256", "kid": "rs"}), jsonOf(good), k.rs),
		"RS384 that is not believed":    signRaw(jsonOf(members{"alg": "RS384", "kid": "rs"}), jsonOf(good), k.rs),
		"ES256K":                        header(members{"alg": "ES256K"}),
		"kid of another key":            header(members{"kid": "ed"}),
		"kid missing":                   header(members{"kid": nil}),
		"kid empty":                     header(members{"kid": ""}),
		"kid a number":                  header(members{"kid": 1}),
		"kid a path":                    kid("../../dev/null"),
		"kid very long":                 header(members{"kid": strings.Repeat("k", 300)}),
		"kid unknown":                   kid("nobody"),
		"kid in capitals":               kid("ES"),
		"a key that is not published":   signRaw(jsonOf(headerES), jsonOf(good), k.other),
		"an embedded jwk":               signRaw(jsonOf(headerES.with(members{"jwk": attacker})), jsonOf(good), k.other),
		"an embedded jwk, rightly ours": header(members{"jwk": jose.JSONWebKey{Key: k.es.Public()}}),
		"jku":                           signRaw(jsonOf(headerES.with(members{"jku": "https://evil.example/jwks.json"})), jsonOf(good), k.other),
		"x5u":                           signRaw(jsonOf(headerES.with(members{"x5u": "https://evil.example/cert.pem"})), jsonOf(good), k.other),
		"x5c":                           header(members{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}),
		"x5t":                           header(members{"x5t": "AAAA"}),

		// The header
		"crit":                       header(members{"crit": []string{"exp"}}),
		"crit empty":                 header(members{"crit": []string{}}),
		"b64 false":                  header(members{"b64": false, "crit": []string{"b64"}}),
		"b64 false without crit":     header(members{"b64": false}),
		"zip":                        header(members{"zip": "DEF"}),
		"cty, a nested token":        header(members{"cty": "JWT"}),
		"enc":                        header(members{"enc": "A256GCM"}),
		"nonce":                      header(members{"nonce": "x"}),
		"typ of an access token":     header(members{"typ": "at+jwt"}),
		"typ a number":               header(members{"typ": 1}),
		"typ empty":                  header(members{"typ": ""}),
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
		"five parts: JWE":            b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rs"}`)) + ".AAAA.AAAA.AAAA.AAAA",
		"JSON form, one signature":   `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"JSON form, two signatures":  `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"},{"protected":"` + parts[0] + `","signature":"AAAA"}]}`,
		"a detached payload":         parts[0] + ".." + parts[2],
		"signature shortened":        token[:len(token)-4],
		"signature with padding":     token + "==",
		"signature lengthened":       token + "AAAA",
		"header with padding":        parts[0] + "=." + parts[1] + "." + parts[2],
		"trailing bits":              input + "." + trailing(parts[2]),
		"base64 of the other kind":   input + "." + strings.NewReplacer("-", "+", "_", "/").Replace(withDash(input, k.es)),
		"a line break":               parts[0] + "." + parts[1] + "\n." + parts[2],
		"a space before":             " " + token,
		"a space behind":             token + " ",
		"a tab inside":               parts[0] + ".\t" + parts[1] + "." + parts[2],
		"two tokens":                 token + ", " + token,
		"not ASCII":                  token[:9] + "é" + token[9:],
		"NUL behind":                 token + "\x00",
		"psychic: r = s = 0":         input + "." + b64(make([]byte, 64)),
		"psychic: r = s = n":         input + "." + b64(append(k.es.Params().N.FillBytes(make([]byte, 32)), k.es.Params().N.FillBytes(make([]byte, 32))...)),
		"signature in DER":           input + "." + b64(derSignature),
		"signature of another token": input + "." + strings.Split(claims(members{"jti": "x"}), ".")[2],
		"EdDSA: R and S zero":        edWith(good, make([]byte, 64)),
		"EdDSA: R the neutral point": edWith(good, append([]byte{1}, make([]byte, 63)...)),
		"RS256: signature zero":      rsWith(good, make([]byte, 256)),
		"RS256: signature one":       rsWith(good, append(make([]byte, 255), 1)),
		"oversize":                   claims(members{"pad": strings.Repeat("x", 8<<10)}),

		// The claims
		"claims a list":             signRaw(jsonOf(headerES), []byte(`[]`), k.es),
		"claims not JSON":           signRaw(jsonOf(headerES), []byte(`{"iss":`), k.es),
		"claims with bytes behind":  signRaw(jsonOf(headerES), append(jsonOf(good), " x"...), k.es),
		"claims not UTF-8":          signRaw(jsonOf(headerES), append([]byte("{\"x\":\"\xff\","), jsonOf(good)[1:]...), k.es),
		"sub twice":                 signRaw(jsonOf(headerES), append([]byte(`{"sub":"00000009-1de0-4000-8000-000000000000",`), jsonOf(good)[1:]...), k.es),
		"SUB beside sub":            signRaw(jsonOf(headerES), append([]byte(`{"SUB":"00000009-1de0-4000-8000-000000000000",`), jsonOf(good)[1:]...), k.es),
		"exp twice":                 signRaw(jsonOf(headerES), append([]byte(`{"exp":9999999999,`), jsonOf(good)[1:]...), k.es),
		"claims deep":               replaced("x", strings.Repeat("[", 40)+strings.Repeat("]", 40)),
		"iss missing":               claims(members{"iss": nil}),
		"iss empty":                 claims(members{"iss": ""}),
		"iss a prefix of ours":      claims(members{"iss": strings.TrimSuffix(tokenIssuer, "/")}),
		"iss ours and more":         claims(members{"iss": tokenIssuer + "x"}),
		"iss in capitals":           claims(members{"iss": strings.ToUpper(tokenIssuer)}),
		"iss with a space":          claims(members{"iss": tokenIssuer + " "}),
		"iss a list":                claims(members{"iss": []string{tokenIssuer}}),
		"iss of the application":    claims(members{"iss": "https://app.example"}),
		"aud missing":               claims(members{"aud": nil}),
		"aud null":                  replaced("aud", "null"),
		"aud empty":                 claims(members{"aud": ""}),
		"aud another":               claims(members{"aud": "billing"}),
		"aud a prefix":              claims(members{"aud": "note"}),
		"aud a list of others":      claims(members{"aud": []string{"billing", "notes2"}}),
		"aud an empty list":         claims(members{"aud": []string{}}),
		"aud a list with a number":  claims(members{"aud": []any{"notes", 1}}),
		"aud a list in a list":      claims(members{"aud": []any{[]string{"notes"}}}),
		"aud an object":             claims(members{"aud": members{"notes": true}}),
		"exp missing":               claims(members{"exp": nil}),
		"exp null":                  replaced("exp", "null"),
		"exp text":                  claims(members{"exp": "9999999999"}),
		"exp a fraction":            replaced("exp", "9999999999.5"),
		"exp with an exponent":      replaced("exp", "1e10"),
		"exp negative":              claims(members{"exp": -1}),
		"exp zero":                  claims(members{"exp": 0}),
		"exp huge":                  replaced("exp", strings.Repeat("9", 40)),
		"exp beyond 2^63":           replaced("exp", "9223372036854775808"),
		"exp in milliseconds":       claims(members{"exp": (in1 + 600) * 1000}),
		"exp a boolean":             claims(members{"exp": true}),
		"exp now":                   claims(members{"exp": in1, "iat": in1 - 60, "nbf": in1 - 60}),
		"exp a second ago":          claims(members{"exp": in1 - 1, "iat": in1 - 60, "nbf": in1 - 60}),
		"exp before iat":            claims(members{"exp": in1 + 5, "iat": in1 + 6}),
		"a life of a day":           claims(members{"exp": in1 + 86400}),
		"iat missing":               claims(members{"iat": nil}),
		"iat in the future":         claims(members{"iat": in1 + 60}),
		"iat text":                  claims(members{"iat": "1"}),
		"nbf missing":               claims(members{"nbf": nil}),
		"nbf in the future":         claims(members{"nbf": in1 + 60}),
		"nbf a fraction":            replaced("nbf", "1.5"),
		"sub missing":               claims(members{"sub": nil}),
		"sub empty":                 claims(members{"sub": ""}),
		"sub null":                  replaced("sub", "null"),
		"sub the nil UUID":          claims(members{"sub": "00000000-0000-0000-0000-000000000000"}),
		"sub no UUID":               claims(members{"sub": "alice"}),
		"sub a number":              claims(members{"sub": 7}),
		"sub a list":                claims(members{"sub": []string{s.identity}}),
		"sub in braces":             claims(members{"sub": "{" + s.identity + "}"}),
		"sub urn":                   claims(members{"sub": "urn:uuid:" + s.identity}),
		"sub in capitals":           claims(members{"sub": strings.ToUpper(s.identity)}),
		"sub with a space":          claims(members{"sub": s.identity + " "}),
		"sub full width":            claims(members{"sub": "０" + s.identity[1:]}),
		"sid no UUID":               claims(members{"sid": "x"}),
		"sid a number":              claims(members{"sid": 1}),
		"aal a number":              claims(members{"aal": 2}),
		"aal a list":                claims(members{"aal": []string{"aal2"}}),
		"authenticated_at a number": claims(members{"authenticated_at": in1}),
		"authenticated_at to come":  claims(members{"authenticated_at": now.Add(time.Hour).Format(time.RFC3339)}),
		"email_verified text":       claims(members{"email_verified": "true"}),
		"email a number":            claims(members{"email": 1, "email_verified": true}),
	}
}

// trailing sets a bit behind the end of 64 bytes: lenient decoders do not look at it.
func trailing(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, signature[len(signature)-1])
	return signature[:len(signature)-1] + string(alphabet[last|1])
}

// withDash signs again and again until the signature has a letter that base64's two
// alphabets write differently.
func withDash(input string, key *ecdsa.PrivateKey) string {
	digest := sha256.Sum256([]byte(input))
	for {
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		text := b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		if strings.ContainsAny(text, "-_") {
			return text
		}
	}
}

func edWith(claims members, signature []byte) string {
	return b64(jsonOf(members{"alg": "EdDSA", "kid": "ed"})) + "." + b64(jsonOf(claims)) + "." + b64(signature)
}

func rsWith(claims members, signature []byte) string {
	return b64(jsonOf(members{"alg": "RS256", "kid": "rs"})) + "." + b64(jsonOf(claims)) + "." + b64(signature)
}

// TestBadTokens: nobody gets in by any of them, by none is Ory asked anything, and the
// good one that each was made of does.
func TestBadTokens(t *testing.T) {
	w, _ := tokenWorld(t)
	_, s := w.person(1)
	good := map[string]string{
		"ES256":      tokenise(s),
		"EdDSA":      signRaw(jsonOf(members{"alg": "EdDSA", "kid": "ed"}), jsonOf(claimsFor(s, time.Now(), time.Minute)), keysOnce().ed),
		"RS256":      signRaw(jsonOf(members{"alg": "RS256", "kid": "rs", "typ": "jwt"}), jsonOf(claimsFor(s, time.Now(), time.Minute)), keysOnce().rs),
		"aud a list": tokenise(s, members{"aud": []string{"billing", tokenAudience}}),
		"bare":       tokenise(s, members{"sid": nil, "aal": nil, "authenticated_at": nil, "email": nil, "email_verified": nil, "jti": nil}),
		"more":       tokenise(s, members{"role": "admin", "x": []any{1.5, nil, members{"y": 1}}}),
	}
	for name, token := range good {
		status, said := w.ask(byBearer(token))
		if status != 200 {
			t.Errorf("good, %s: %d %s", name, status, said)
		}
	}
	bad := badTokens(t, s)
	if len(bad) < 130 {
		t.Errorf("%d bad tokens", len(bad))
	}
	for name, token := range bad {
		for range 2 { // also when the answer is remembered
			if status, said := w.ask(byBearer(token)); status != 401 || said != "unauthenticated" {
				t.Errorf("%s: %d %s", name, status, said)
			}
		}
	}
	if len(w.asked) != 0 {
		t.Errorf("Ory was asked: %v", w.asked)
	}
	for _, token := range bad {
		if len(token) > 20 && strings.Contains(w.log.String(), token) {
			t.Error("a token is in the log")
		}
	}
}

// TestBadKeySets: sets that must not be believed, or not be published.
func TestBadKeySets(t *testing.T) {
	k := keysOnce()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := func(key any) string { return string(jsonOf(jose.JSONWebKey{Key: key, KeyID: "x", Use: "sig"})) }
	one := func(text string) string { return `{"keys":[` + text + `]}` }
	public := func(more members) string {
		m := members{}
		if err := json.Unmarshal(jsonOf(jose.JSONWebKey{Key: k.es.Public(), KeyID: "es"}), &m); err != nil {
			t.Fatal(err)
		}
		return string(jsonOf(m.with(more)))
	}
	for name, test := range map[string]struct{ set, says string }{
		"not JSON":              {`{`, "no key set"},
		"a list":                {`[]`, "no key set"},
		"a single key":          {public(nil), "no key set"},
		"keys twice":            {`{"keys":[],"keys":[]}`, "twice"},
		"empty":                 {`{"keys":[]}`, "no key that can be used"},
		"too large":             {one(public(nil)) + strings.Repeat(" ", maxJWKS), "256 kB"},
		"too many":              {one(strings.Repeat(public(nil)+",", 65) + public(nil)), "at most 64"},
		"EC private":            {one(private(k.es)), "publish only the public halves"},
		"EdDSA private":         {one(private(k.ed)), "publish only the public halves"},
		"RSA private":           {one(private(k.rs)), "publish only the public halves"},
		"symmetric":             {one(`{"kty":"oct","kid":"x","k":"AAAA","alg":"HS256"}`), "publish only the public halves"},
		"one of two private":    {one(public(nil) + "," + private(k.ed)), "publish only the public halves"},
		"d empty":               {one(public(members{"d": ""})), "publish only the public halves"},
		"a kid twice":           {one(public(nil) + "," + public(members{"alg": "ES256"})), "an earlier key has its kid"},
		"no kid":                {one(public(members{"kid": nil})), "no kid"},
		"kid a number":          {one(public(members{"kid": 1})), "no kid"},
		"for encryption":        {one(public(members{"use": "enc"})), "use or key_ops"},
		"to sign":               {one(public(members{"key_ops": []string{"sign"}})), "use or key_ops"},
		"alg of another kty":    {one(public(members{"alg": "EdDSA"})), "alg that fits"},
		"alg of another curve":  {one(public(members{"alg": "ES384"})), "alg that fits"},
		"alg HS256":             {one(public(members{"alg": "HS256"})), "alg that fits"},
		"alg none":              {one(public(members{"alg": "none"})), "alg that fits"},
		"a point off the curve": {one(public(members{"x": b64(make([]byte, 32))})), "no sound public key"},
		"kty unknown":           {one(public(members{"kty": "XX"})), "no sound public key"},
		"X25519":                {one(`{"kty":"OKP","crv":"X25519","kid":"x","x":"` + b64(make([]byte, 32)) + `"}`), "no sound public key"},
		"Ed25519 short":         {one(`{"kty":"OKP","crv":"Ed25519","kid":"x","x":"` + b64(make([]byte, 31)) + `"}`), "no sound public key"},
		"Ed25519 of low order":  {one(`{"kty":"OKP","crv":"Ed25519","kid":"x","x":"` + b64(append([]byte{1}, make([]byte, 31)...)) + `"}`), "no sound public key"},
		"RSA of 1024 bits":      {jwksOf(t, "rs", "RS256", small.Public()), "bits"},
		"RSA with exponent 1":   {one(`{"kty":"RSA","kid":"x","alg":"RS256","e":"AQ","n":"` + b64(k.rs.N.Bytes()) + `"}`), "no sound public key"},
		"RSA without alg":       {jwksOf(t, "rs", "", k.rs.Public()), "alg that fits"},
		"RS512, not believed":   {jwksOf(t, "rs", "RS512", k.rs.Public()), "not among"},
	} {
		set, err := parseJWKS([]byte(test.set), (&Tokens{}).algorithms())
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
	set, err := parseJWKS([]byte(one(public(nil)+","+public(members{"kid": "enc", "use": "enc"})+`,{"kty":"new"}`)), (&Tokens{}).algorithms())
	if err != nil || len(set.keys) != 1 || set.keys["es"].algorithm != "ES256" || len(set.unused) != 2 {
		t.Errorf("other keys beside a good one: %v %v", set, err)
	}
}
