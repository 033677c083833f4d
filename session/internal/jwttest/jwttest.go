// Package jwttest makes valid and invalid tokens as Ory would, for the tests of package jwt
// and of package session.
package jwttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Session is the session of a token.
type Session struct {
	ID, Identity, AAL string
	Authenticated     time.Time
	Verified          bool
}

// Issuer and Audience are the iss and the aud of the tests' tokens.
const (
	Issuer   = "http://kratos:4433/"
	Audience = "notes"
)

// PrivateKeys are the private halves of a template's keys.
type PrivateKeys struct {
	ES    *ecdsa.PrivateKey
	ED    ed25519.PrivateKey
	RS    *rsa.PrivateKey
	Other *ecdsa.PrivateKey // never published
}

// Private makes the keys once.
var Private = sync.OnceValue(func() *PrivateKeys {
	k := &PrivateKeys{}
	var err error
	for _, to := range []**ecdsa.PrivateKey{&k.ES, &k.Other} {
		if *to, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
	}
	if _, k.ED, err = ed25519.GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	if k.RS, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	return k
})

// JWKS returns a key set. For each key, parts holds a kid, an alg and the public key.
func JWKS(t testing.TB, parts ...any) string {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for i := 0; i+2 < len(parts); i += 3 {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: parts[i].(string), Algorithm: parts[i+1].(string), Use: "sig", Key: parts[i+2]})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// AllKeys returns a key set with all keys except Other.
func AllKeys(t testing.TB) string {
	k := Private()
	return JWKS(t, "es", "ES256", k.ES.Public(), "ed", "EdDSA", k.ED.Public(), "rs", "RS256", k.RS.Public())
}

// Members is a JSON object of a token. A nil value removes the member.
type Members map[string]any

// With returns a copy with more members.
func (m Members) With(more Members) Members {
	out := Members{}
	for _, from := range []Members{m, more} {
		for name, value := range from {
			if out[name] = value; value == nil {
				delete(out, name)
			}
		}
	}
	return out
}

// B64 encodes in base64url without padding.
func B64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JSON encodes a value of the tests, for which encoding never fails.
func JSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Sign signs any two parts as Ory does with this key.
func Sign(header, claims []byte, key any) string {
	input := B64(header) + "." + B64(claims)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		signature = make([]byte, 64)
		r, s, e := ecdsa.Sign(rand.Reader, k, digest[:])
		if err = e; err == nil {
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(input))
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	default:
		err = fmt.Errorf("no signer for %T", key)
	}
	if err != nil {
		panic(err)
	}
	return input + "." + B64(signature)
}

// Header is the header that Ory writes.
var Header = Members{"alg": "ES256", "kid": "es", "typ": "JWT"}

// Claims are the claims that Ory writes for a session with the claims mapper of the docs.
func Claims(s Session, now time.Time, life time.Duration) Members {
	return Members{"iss": Issuer, "aud": Audience, "sub": s.Identity, "sid": s.ID, "jti": "5a3c9f9e-2f0b-4f6e-9f7b-111111111111",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(), "aal": s.AAL,
		"authenticated_at": s.Authenticated.UTC().Format(time.RFC3339), "email": "p@x.example", "email_verified": s.Verified}
}
