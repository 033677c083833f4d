package session

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
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tokenIssuer and tokenAudience are those of the tests.
const (
	tokenIssuer   = "http://kratos:4433/"
	tokenAudience = "notes"
)

// templateKeys are the private halves that a template of Ory's would have, made once.
type templateKeys struct {
	es    *ecdsa.PrivateKey
	ed    ed25519.PrivateKey
	rs    *rsa.PrivateKey
	other *ecdsa.PrivateKey // never published
}

var keysOnce = sync.OnceValue(func() *templateKeys {
	k := &templateKeys{}
	var err error
	for _, to := range []**ecdsa.PrivateKey{&k.es, &k.other} {
		if *to, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
	}
	if _, k.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	if k.rs, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	return k
})

// jwksOf publishes keys: kid, alg, public key, and again.
func jwksOf(t testing.TB, parts ...any) string {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for i := 0; i < len(parts); i += 3 {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: parts[i].(string), Algorithm: parts[i+1].(string), Use: "sig", Key: parts[i+2]})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func allKeys(t testing.TB) string {
	k := keysOnce()
	return jwksOf(t, "es", "ES256", k.es.Public(), "ed", "EdDSA", k.ed.Public(), "rs", "RS256", k.rs.Public())
}

// members is a JSON object of a token; nil takes a member away.
type members map[string]any

func (m members) with(more members) members {
	out := members{}
	for _, from := range []members{m, more} {
		for name, value := range from {
			if out[name] = value; value == nil {
				delete(out, name)
			}
		}
	}
	return out
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// signRaw signs whatever the two parts are, the way Ory would with this key.
func signRaw(header, claims []byte, key any) string {
	input := b64(header) + "." + b64(claims)
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
	return input + "." + b64(signature)
}

// headerES is what Ory writes.
var headerES = members{"alg": "ES256", "kid": "es", "typ": "JWT"}

// claimsOf are what Ory writes for a session with the claims mapper of the docs.
func claimsFor(s *fakeSession, now time.Time, life time.Duration) members {
	return members{"iss": tokenIssuer, "aud": tokenAudience, "sub": s.identity, "sid": s.id, "jti": "5a3c9f9e-2f0b-4f6e-9f7b-111111111111",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(), "aal": s.aal,
		"authenticated_at": s.authenticated.UTC().Format(time.RFC3339), "email": "p@x.example", "email_verified": s.verified}
}

// tokenise makes a good token of a session.
func tokenise(s *fakeSession, more ...members) string {
	claims := claimsFor(s, time.Now(), 10*time.Minute)
	for _, m := range more {
		claims = claims.with(m)
	}
	return signRaw(jsonOf(headerES), jsonOf(claims), keysOnce().es)
}

// jwksServer answers with the keys, on no network.
type jwksServer struct {
	mu      sync.Mutex
	body    string
	status  int
	err     error
	latency time.Duration
	asked   int
	header  http.Header
}

func (s *jwksServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked++
	latency, body, status, err, header := s.latency, s.body, s.status, s.err, s.header
	s.mu.Unlock()
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if status == 0 {
		status = 200
	}
	resp := response(status, body)
	for name, values := range header {
		resp.Header[name] = values
	}
	return resp, nil
}

func (s *jwksServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *jwksServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// tokenWorld is a world whose verifier takes tokens, and what publishes their keys.
func tokenWorld(t testing.TB) (*world, *jwksServer) {
	w, s := newWorld(t), &jwksServer{body: allKeys(t)}
	w.v.Tokens = &Tokens{JWKS: "https://keys.example/jwks.json", Issuer: tokenIssuer, Audience: tokenAudience, HTTP: &http.Client{Transport: s}}
	return w, s
}

func byBearer(token string) *http.Request { return request("Authorization", "Bearer "+token) }

// answerAt answers one path of Ory's.
func answerAt(path string, status int, body string) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		if r.URL.Path == path {
			return response(status, body)
		}
		return nil
	}
}
