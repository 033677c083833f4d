package session

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// token is what a tokenised session says. It never changes once it is made.
type token struct {
	kid       string
	algorithm jose.SignatureAlgorithm

	identity symbolon.IdentityID
	session  string // empty: the template took sid away
	user     string // of Tokens.UserClaim
	aal      string
	email    string // only a verified one

	issued        time.Time
	expires       time.Time
	authenticated time.Time // zero: not said

	key *tokenKey // that its signature was verified by
}

// size is how many bytes it takes up, about.
func (t *token) size() int { return int(unsafe.Sizeof(*t)) + len(t.kid) + len(t.user) }

// mayPrecede reports whether a token may have been issued before a moment, since the
// signer's clock may be ahead.
func (t *token) mayPrecede(moment time.Time) bool { return t.issued.Sub(moment) <= tokenLeeway }

// refusal is why a token lets nobody in. It holds nothing of the token.
type refusal struct {
	reason string

	// misconfigured says that Ory signed the token, so that a template or a setting is
	// wrong.
	misconfigured bool
}

func (r *refusal) Error() string { return "a token of Ory's is refused: " + r.reason }

func notGood(reason string) error       { return &refusal{reason: reason} }
func misconfigured(reason string) error { return &refusal{reason: reason, misconfigured: true} }

// Sizes of a token's parts, before they are decoded.
const (
	maxTokenised   = 8 << 10
	maxTokenHeader = 1 << 10
	maxKeyID       = 256
)

// isTokenShaped reports whether a Bearer token is in JWS' compact form: three parts
// of base64 for URLs. Forms with several signatures and encrypted tokens are not.
func isTokenShaped(s string) bool {
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case c-'a' > 25 && c-'A' > 25 && c-'0' > 9 && c != '-' && c != '_':
			return false
		}
	}
	return dots == 2 && len(s) <= maxTokenised
}

// read reads a token and checks everything that needs no key. A token that it refuses is
// refused for good. A token that it returns must not be believed before its signature is
// verified.
func (t *Tokens) read(raw string, now time.Time) (*token, error) {
	if !isTokenShaped(raw) {
		return nil, notGood("it is no JWT in the compact form, or has more than 8 kB")
	}
	header, rest, _ := strings.Cut(raw, ".")
	body, signature, _ := strings.Cut(rest, ".")
	if _, ok := decodePart(signature); !ok {
		return nil, notGood("its signature is not base64 for URLs")
	}
	text, ok := decodePart(body)
	switch {
	case !ok:
		return nil, notGood("its claims are not base64 for URLs")
	case t.surelyAnothers(text):
		return nil, anotherIssuer
	}
	out := &token{}
	if err := out.readHeader(header); err != nil {
		return nil, err
	}
	claims, err := strictjson.Object(text)
	if err != nil {
		return nil, notGood("its claims: " + err.Error())
	}
	if err := t.checkReader(claims); err != nil {
		return nil, err
	}
	if err := out.readTimes(claims, now); err != nil {
		return nil, err
	}
	return out, nil
}

// decodePart decodes base64 for URLs in its only form: no padding, no line breaks, no
// bits behind the end.
func decodePart(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) > 0
}

// readHeader takes the three members that Ory writes, and no other: a header that
// names or brings a key, or that has to be understood (crit), is never followed.
func (t *token) readHeader(part string) error {
	if len(part) > maxTokenHeader {
		return notGood("its header is too long")
	}
	text, ok := decodePart(part)
	if !ok {
		return notGood("its header is not base64 for URLs")
	}
	members, err := strictjson.Object(text)
	if err != nil {
		return notGood("its header: " + err.Error())
	}
	for name := range members {
		if name != "alg" && name != "kid" && name != "typ" {
			return notGood("its header has a member that is none of alg, kid and typ")
		}
	}
	alg, ok := textOf(members["alg"])
	if !ok {
		return notGood("its header has no alg")
	}
	t.algorithm = jose.SignatureAlgorithm(alg)
	if t.kid, ok = textOf(members["kid"]); !ok || t.kid == "" || len(t.kid) > maxKeyID {
		return notGood("its header has no kid")
	}
	if raw, there := members["typ"]; there {
		if typ, ok := textOf(raw); !ok || !strings.EqualFold(typ, "JWT") {
			return notGood("its typ is not JWT")
		}
	}
	return nil
}

var anotherIssuer = notGood("its issuer is another: it is the application's own, or auth.jwt.issuer is wrong")

// surelyAnothers tells most of an application's own tokens from Ory's before anything
// is parsed: Ory writes an issuer of plain letters as it is.
func (t *Tokens) surelyAnothers(claims []byte) bool {
	return strings.Trim(t.Issuer, plainIssuer) == "" && !bytes.Contains(claims, []byte(`"`+t.Issuer+`"`))
}

const plainIssuer = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_~"

// checkReader reports whether a token is Ory's, and for us.
func (t *Tokens) checkReader(claims map[string]json.RawMessage) error {
	if issuer, ok := textOf(claims["iss"]); !ok || issuer != t.Issuer {
		return anotherIssuer
	}
	raw, there := claims["aud"]
	if !there {
		if t.Audience != "" {
			return notGood("it has no aud: the template's claims mapper has to write auth.jwt.audience there")
		}
		return nil
	}
	audience, ok := textsOf(raw)
	switch {
	case !ok:
		return notGood("its aud is neither text nor a list of texts")
	case t.Audience == "":
		return notGood("it has an aud, and auth.jwt.audience is not set")
	}
	for _, a := range audience {
		if a == t.Audience {
			return nil
		}
	}
	return notGood("its aud names somebody else")
}

// readTimes wants whole seconds: exp, nbf and iat, which Ory always writes.
func (t *token) readTimes(claims map[string]json.RawMessage, now time.Time) error {
	var begins time.Time
	for _, c := range []struct {
		name string
		to   *time.Time
	}{{"exp", &t.expires}, {"nbf", &begins}, {"iat", &t.issued}} {
		var ok bool
		if *c.to, ok = secondsOf(claims[c.name]); !ok {
			return notGood("its " + c.name + " is not there, or no whole number of seconds")
		}
	}
	switch {
	case !now.Before(t.expires):
		return notGood("it has expired")
	case begins.Sub(now) > tokenLeeway:
		return notGood("its nbf is in the future")
	case t.issued.Sub(now) > tokenLeeway:
		return notGood("its iat is in the future")
	case !t.issued.Before(t.expires):
		return notGood("it expires before it was issued")
	}
	return nil
}

// verify verifies the signature of what read has read, and reads the rest.
func (t *Tokens) verify(raw string, tok *token, key *tokenKey) error {
	if key.algorithm != tok.algorithm {
		return notGood("its alg is not its key's")
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{key.algorithm})
	if err != nil || len(jws.Signatures) != 1 {
		return notGood("its signature cannot be read")
	}
	body, err := jws.Verify(key.public)
	if err != nil {
		return notGood("its signature is not by its key")
	}
	claims, err := strictjson.Object(body)
	if err != nil {
		return notGood("its claims: " + err.Error())
	}
	tok.key = key
	if life := t.maxLife(); tok.expires.Sub(tok.issued) > life {
		return misconfigured("it lives longer than auth.jwt.max_life, " + life.String() + ": lower the ttl of the template, or raise that")
	}
	return tok.readPerson(claims, t.userClaim())
}

// readPerson reads whom a token is about. Ory signed it: what is odd is a template's.
func (t *token) readPerson(claims map[string]json.RawMessage, userClaim string) error {
	sub, ok := textOf(claims["sub"])
	id, err := symbolon.ParseIdentityID(sub)
	if !ok || err != nil || string(id) != sub {
		return misconfigured("its sub is no identity's ID: the template's subject_source must be id")
	}
	t.identity = id
	if raw, there := claims["sid"]; there {
		sid, ok := textOf(raw)
		if id, err := symbolon.ParseIdentityID(sid); !ok || err != nil || string(id) != sid { // a UUID as well
			return misconfigured("its sid is no session's ID")
		}
		t.session = sid
	}
	if raw, there := claims["aal"]; there {
		if t.aal, ok = textOf(raw); !ok || len(t.aal) > 16 {
			return misconfigured("its aal is not a text such as aal1")
		}
	}
	if raw, there := claims["authenticated_at"]; there {
		text, ok := textOf(raw)
		if t.authenticated, err = time.Parse(time.RFC3339, text); !ok || err != nil || t.authenticated.Sub(t.issued) > tokenLeeway {
			return misconfigured("its authenticated_at is no time in the past such as 2026-11-25T16:00:00Z")
		}
	}
	if err := t.readEmail(claims); err != nil {
		return err
	}
	if userClaim == "" {
		return nil
	}
	if t.user, ok = textOf(claims[userClaim]); !ok || t.user == "" || len(t.user) > 256 {
		return misconfigured("it has no claim " + strconv.Quote(userClaim) + " (auth.jwt.user_claim) that is text")
	}
	return nil
}

// readEmail takes an address that is said to be verified.
func (t *token) readEmail(claims map[string]json.RawMessage) error {
	verified, there := claims["email_verified"]
	if !there || string(verified) == "false" || string(verified) == "null" {
		return nil
	}
	email, ok := textOf(claims["email"])
	if string(verified) != "true" || !ok || len(email) > 320 {
		return misconfigured("its email_verified is no boolean, or its email no text")
	}
	t.email = email
	return nil
}

// textOf reads a JSON string. Absence is none.
func textOf(raw json.RawMessage) (s string, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// textsOf reads a JSON string or a list of them.
func textsOf(raw json.RawMessage) ([]string, bool) {
	if s, ok := textOf(raw); ok {
		return []string{s}, true
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || items == nil {
		return nil, false
	}
	out := make([]string, len(items))
	for i, item := range items {
		var ok bool
		if out[i], ok = textOf(item); !ok {
			return nil, false
		}
	}
	return out, true
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// secondsOf reads digits and nothing else: no sign, no fraction, no exponent, no text.
func secondsOf(raw json.RawMessage) (time.Time, bool) {
	s := string(bytes.TrimSpace(raw))
	if s == "" || len(s) > 12 || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil && n > 0 && n <= lastSecond
}
