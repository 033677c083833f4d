package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Token holds the claims of a tokenised session. It is immutable.
type Token struct {
	kid       string
	algorithm jose.SignatureAlgorithm

	Identity symbolon.IdentityID
	Session  string // the session's ID; empty: the template removed sid
	User     string // the value of the claim Verifier.UserClaim
	AAL      string
	Email    string // empty unless it is verified

	Issued        time.Time
	Expires       time.Time
	Authenticated time.Time // zero: the token does not contain it

	key *publicKey // the key that verified the signature
}

// Size is the approximate size in bytes.
func (t *Token) Size() int { return int(unsafe.Sizeof(*t)) + len(t.kid) + len(t.User) }

// MayPrecede reports whether the token may have been issued before a moment. The signer's
// clock may be ahead by Leeway.
func (t *Token) MayPrecede(moment time.Time) bool { return t.Issued.Sub(moment) <= Leeway }

// Refusal is the reason why a token is not accepted. It contains no part of the token.
type Refusal struct {
	Reason string

	// Misconfigured is true if Ory signed the token. Then a template or a setting is wrong.
	Misconfigured bool
}

func (r *Refusal) Error() string { return "an Ory token is refused: " + r.Reason }

func refuse(reason string) error        { return &Refusal{Reason: reason} }
func misconfigured(reason string) error { return &Refusal{Reason: reason, Misconfigured: true} }

// Limits of a token's parts before they are decoded.
const (
	maxToken  = 8 << 10
	maxHeader = 1 << 10
	maxKeyID  = 256
)

// IsShaped reports whether a Bearer token has the compact form of JWS: three parts in
// base64url. Encrypted tokens and tokens with several signatures have another form.
func IsShaped(s string) bool {
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case c-'a' > 25 && c-'A' > 25 && c-'0' > 9 && c != '-' && c != '_':
			return false
		}
	}
	return dots == 2 && len(s) <= maxToken
}

// Read reads a token and makes every check that needs no key. A refusal is final. A token
// that Read returns must not be believed before its signature is verified.
func (v *Verifier) Read(raw string, now time.Time) (*Token, error) {
	if !IsShaped(raw) {
		return nil, refuse("it is not a JWT in the compact form, or has more than 8 kB")
	}
	header, rest, _ := strings.Cut(raw, ".")
	body, signature, _ := strings.Cut(rest, ".")
	if _, ok := decodePart(signature); !ok {
		return nil, refuse("its signature is not base64 for URLs")
	}
	text, ok := decodePart(body)
	switch {
	case !ok:
		return nil, refuse("its claims are not base64 for URLs")
	case v.isForeign(text):
		return nil, anotherIssuer
	}
	out := &Token{}
	if err := out.readHeader(header); err != nil {
		return nil, err
	}
	claims, err := strictjson.Object(text)
	if err != nil {
		return nil, refuse("its claims: " + err.Error())
	}
	if err := v.checkParties(claims); err != nil {
		return nil, err
	}
	if err := out.readTimes(claims, now); err != nil {
		return nil, err
	}
	return out, nil
}

// decodePart decodes base64url. It accepts only the canonical form: no padding, no line
// breaks, and no bits after the end.
func decodePart(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) > 0
}

// readHeader accepts only the three members that Ory writes. So it refuses a header that
// refers to a key by URL, contains a key, or has crit.
func (t *Token) readHeader(part string) error {
	if len(part) > maxHeader {
		return refuse("its header is too long")
	}
	text, ok := decodePart(part)
	if !ok {
		return refuse("its header is not base64 for URLs")
	}
	members, err := strictjson.Object(text)
	if err != nil {
		return refuse("its header: " + err.Error())
	}
	for name := range members {
		if name != "alg" && name != "kid" && name != "typ" {
			return refuse("its header has a member other than alg, kid and typ")
		}
	}
	alg, ok := strictjson.Text(members["alg"])
	if !ok {
		return refuse("its header has no alg")
	}
	t.algorithm = jose.SignatureAlgorithm(alg)
	if t.kid, ok = strictjson.Text(members["kid"]); !ok || t.kid == "" || len(t.kid) > maxKeyID {
		return refuse("its header has no kid")
	}
	if raw, there := members["typ"]; there {
		if typ, ok := strictjson.Text(raw); !ok || !strings.EqualFold(typ, "JWT") {
			return refuse("its typ is not JWT")
		}
	}
	return nil
}

var anotherIssuer = refuse("it has another issuer: it is the application's own, or auth.jwt.issuer is wrong")

// isForeign recognises most of an application's own tokens without parsing them. It can do
// so because Ory writes an issuer of plain characters without escapes.
func (v *Verifier) isForeign(claims []byte) bool {
	return strings.Trim(v.Issuer, plainIssuer) == "" && !bytes.Contains(claims, []byte(`"`+v.Issuer+`"`))
}

const plainIssuer = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_~"

// checkParties checks that Ory is the issuer of the token, and that the token is for this
// audience.
func (v *Verifier) checkParties(claims map[string]json.RawMessage) error {
	if issuer, ok := strictjson.Text(claims["iss"]); !ok || issuer != v.Issuer {
		return anotherIssuer
	}
	raw, there := claims["aud"]
	if !there {
		if v.Audience != "" {
			return refuse("it has no aud: the template's claims mapper has to write auth.jwt.audience there")
		}
		return nil
	}
	audience, ok := textsOf(raw)
	switch {
	case !ok:
		return refuse("its aud is neither a string nor a list of strings")
	case v.Audience == "":
		return refuse("it has an aud, and auth.jwt.audience is not set")
	case !slices.Contains(audience, v.Audience):
		return refuse("its aud does not contain auth.jwt.audience")
	}
	return nil
}

// readTimes requires exp, nbf and iat in whole seconds. Ory always writes all three.
func (t *Token) readTimes(claims map[string]json.RawMessage, now time.Time) error {
	var begins time.Time
	for _, c := range []struct {
		name string
		to   *time.Time
	}{{"exp", &t.Expires}, {"nbf", &begins}, {"iat", &t.Issued}} {
		var ok bool
		if *c.to, ok = secondsOf(claims[c.name]); !ok {
			return refuse("its " + c.name + " is missing, or not a whole number of seconds")
		}
	}
	switch {
	case !now.Before(t.Expires):
		return refuse("it has expired")
	case begins.Sub(now) > Leeway:
		return refuse("its nbf is in the future")
	case t.Issued.Sub(now) > Leeway:
		return refuse("its iat is in the future")
	case !t.Issued.Before(t.Expires):
		return refuse("it expires before it was issued")
	}
	return nil
}

// verify verifies the signature of a token that Read returned, and then reads its other
// claims.
func (v *Verifier) verify(raw string, tok *Token, key *publicKey) error {
	if key.algorithm != tok.algorithm {
		return refuse("its alg differs from its key's")
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{key.algorithm})
	if err != nil || len(jws.Signatures) != 1 {
		return refuse("its signature cannot be read")
	}
	body, err := jws.Verify(key.public)
	if err != nil {
		return refuse("its signature does not fit its key")
	}
	claims, err := strictjson.Object(body)
	if err != nil {
		return refuse("its claims: " + err.Error())
	}
	tok.key = key
	if life := v.maxLife(); tok.Expires.Sub(tok.Issued) > life {
		return misconfigured("it lives longer than auth.jwt.max_life, " + life.String() + ": lower the ttl of the template, or raise auth.jwt.max_life")
	}
	return tok.readPerson(claims, v.userClaim())
}

// readPerson reads the claims about the person. Ory has signed them, so an invalid claim
// comes from the template.
func (t *Token) readPerson(claims map[string]json.RawMessage, userClaim string) error {
	sub, ok := strictjson.Text(claims["sub"])
	id, err := symbolon.ParseIdentityID(sub)
	if !ok || err != nil || string(id) != sub {
		return misconfigured("its sub is not an identity's ID: the template's subject_source must be id")
	}
	t.Identity = id
	if raw, there := claims["sid"]; there {
		sid, ok := strictjson.Text(raw)
		if id, err := symbolon.ParseIdentityID(sid); !ok || err != nil || string(id) != sid { // a session's ID is a UUID as well
			return misconfigured("its sid is not a session's ID")
		}
		t.Session = sid
	}
	if raw, there := claims["aal"]; there {
		if t.AAL, ok = strictjson.Text(raw); !ok || len(t.AAL) > 16 {
			return misconfigured("its aal is not a string such as aal1")
		}
	}
	if raw, there := claims["authenticated_at"]; there {
		text, ok := strictjson.Text(raw)
		if t.Authenticated, err = time.Parse(time.RFC3339, text); !ok || err != nil || t.Authenticated.Sub(t.Issued) > Leeway {
			return misconfigured("its authenticated_at is not a time in the past such as 2026-11-25T16:00:00Z")
		}
	}
	if err := t.readEmail(claims); err != nil {
		return err
	}
	if userClaim == "" {
		return nil
	}
	if t.User, ok = strictjson.Text(claims[userClaim]); !ok || t.User == "" || len(t.User) > 256 {
		return misconfigured("it has no string claim " + strconv.Quote(userClaim) + " (auth.jwt.user_claim)")
	}
	return nil
}

// readEmail keeps the address if it is verified.
func (t *Token) readEmail(claims map[string]json.RawMessage) error {
	verified, there := claims["email_verified"]
	if !there || string(verified) == "false" || string(verified) == "null" {
		return nil
	}
	email, ok := strictjson.Text(claims["email"])
	if string(verified) != "true" || !ok || len(email) > 320 {
		return misconfigured("its email_verified is not a boolean, or its email is not a string")
	}
	t.Email = email
	return nil
}

// textsOf reads a JSON string or a list of strings.
func textsOf(raw json.RawMessage) ([]string, bool) {
	if s, ok := strictjson.Text(raw); ok {
		return []string{s}, true
	}
	items, err := strictjson.Array(raw)
	out := make([]string, len(items))
	for i, item := range items {
		var ok bool
		if out[i], ok = strictjson.Text(item); !ok {
			return nil, false
		}
	}
	return out, err == nil
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// secondsOf reads a number that consists of digits only, without sign, fraction or exponent.
func secondsOf(raw json.RawMessage) (time.Time, bool) {
	s := string(raw)
	if s == "" || len(s) > 12 || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil && n > 0 && n <= lastSecond
}
