// Package assertion signs the user of a request, for applications that do not trust a
// proxy's headers. A [Signer] makes JSON Web Tokens that are valid for a minute, and serves
// the public keys that verify them.
//
//	signer := &assertion.Signer{Issuer: "https://symbolon.example", Audience: "app", Secrets: secrets}
//	mux.Handle("/.well-known/jwks.json", signer.JWKS())
//	token, err := signer.Assert(principal)
package assertion

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/maypok86/otter/v2"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/defaults"
)

// Signer signs the user of a request as a JWT (EdDSA, Ed25519) that is valid for at most a
// minute:
//
//	{"iss": Issuer, "aud": [Audience], "sub": the user's ID, "iat": …, "exp": …,
//	 "identity": the ID at Ory, "session": its ID, "aal": "aal1"}
//
// A new key is derived from the secret each day (UTC). Nothing is stored, and replicas that
// share the secret share the keys. [Signer.JWKS] serves the keys of yesterday, today and
// tomorrow for every secret, so that clocks may differ by hours and a verifier may keep the
// set for an hour.
//
// Signing takes about 20 µs, so all requests of a session get the same assertion for half
// of its life. A Signer may be used by many goroutines at once; set its fields before the
// first call. Issuer, Audience and Secrets are required. A nil Signer signs nothing.
type Signer struct {
	Issuer   string
	Audience string
	Secrets  []symbolon.Secret // the first one signs

	// Now is the wall clock. Defaults to time.Now.
	Now func() time.Time

	once  sync.Once
	bad   error
	today atomic.Pointer[dayKey]
	cache *otter.Cache[claimed, *signed]
}

const (
	// assertionLife is how long an assertion is valid: longer than a request takes, and too
	// short to be worth stealing.
	assertionLife = 60 * time.Second

	// maxAssertions is the maximum number of assertions in the cache, about 20 MB. If there
	// are more, the least used assertions are dropped and signed again later.
	maxAssertions = 1 << 15
)

// claimed holds the claims of an assertion.
type claimed struct {
	user     symbolon.UserID
	identity symbolon.IdentityID
	session  string
	aal      string
}

// signed is an assertion, and the times (Unix milliseconds) between which it is given out.
type signed struct {
	token       string
	from, until int64
}

// Check reports errors in the fields.
func (s *Signer) Check() error {
	s.once.Do(s.setup)
	return s.bad
}

func (s *Signer) setup() {
	switch {
	case s.Issuer == "" || s.Audience == "":
		s.bad = errors.New("assertion: Signer.Issuer or Signer.Audience is not set")
	case len(s.Secrets) == 0:
		s.bad = errors.New("assertion: Signer.Secrets is not set")
	default:
		s.cache, s.bad = otter.New(&otter.Options[claimed, *signed]{MaximumSize: maxAssertions})
	}
}

// Assert returns an assertion about p. At least half of its life is left: 30 seconds, or
// less if the session ends earlier. A nil Signer returns "". An error matches
// symbolon.ErrUnavailable.
func (s *Signer) Assert(p *symbolon.Principal) (string, error) {
	if s == nil {
		return "", nil
	}
	if err := s.Check(); err != nil {
		return "", fmt.Errorf("%w: %w", err, symbolon.ErrUnavailable)
	}
	c := claimed{p.User.ID, p.User.Identity, p.Session.ID, p.Session.AAL}
	now := s.now()
	if got, ok := s.cache.GetIfPresent(c); ok && now.UnixMilli() < got.until && now.UnixMilli() >= got.from {
		return got.token, nil
	}
	made, err := s.sign(c, now, min(assertionLife, p.Session.ExpiresAt.Sub(now)))
	if err != nil {
		return "", fmt.Errorf("assertion: sign an assertion: %w: %w", err, symbolon.ErrUnavailable)
	}
	s.cache.Set(c, made)
	return made.token, nil
}

// ours holds the claims that have no registered name.
type ours struct {
	Identity symbolon.IdentityID `json:"identity"`
	Session  string              `json:"session"`
	AAL      string              `json:"aal"`
}

func (s *Signer) sign(c claimed, now time.Time, life time.Duration) (*signed, error) {
	key, err := s.keyOf(now)
	if err != nil {
		return nil, err
	}
	token, err := jwt.Signed(key.signer).Claims(jwt.Claims{
		Issuer: s.Issuer, Audience: jwt.Audience{s.Audience}, Subject: string(c.user),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Claims(ours{c.identity, c.session, c.aal}).Serialize()
	if err != nil {
		return nil, err
	}
	return &signed{token: token, from: now.UnixMilli(), until: now.Add(life / 2).UnixMilli()}, nil
}

// dayKey is the signing key of one day.
type dayKey struct {
	day    string
	signer jose.Signer
}

func (s *Signer) keyOf(now time.Time) (*dayKey, error) {
	day := now.UTC().Format(time.DateOnly)
	if k := s.today.Load(); k != nil && k.day == day {
		return k, nil
	}
	private := deriveKey(s.Secrets[0], day)
	jwk, err := publicKey(private)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: jwk.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	k := &dayKey{day, signer}
	s.today.Store(k)
	return k, nil
}

func deriveKey(secret symbolon.Secret, day string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(secret.Derive("assertion/" + day))
}

// publicKey returns the public half, whose kid is its RFC 7638 thumbprint.
func publicKey(private ed25519.PrivateKey) (jose.JSONWebKey, error) {
	k := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.EdDSA), Use: "sig"}
	digest, err := k.Thumbprint(crypto.SHA256)
	k.KeyID = base64.RawURLEncoding.EncodeToString(digest)
	return k, err
}

// JWKS answers GET with the public keys, which caches may keep for an hour. A nil Signer
// has no keys.
func (s *Signer) JWKS() http.Handler {
	return answer.Method(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
		set, err := s.keys()
		if err != nil {
			answer.Write(w, err)
			return
		}
		answer.JSON(cacheable{w}, http.StatusOK, set)
	})
}

func (s *Signer) keys() (jose.JSONWebKeySet, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if s == nil {
		return set, nil
	}
	if err := s.Check(); err != nil {
		return set, err
	}
	for _, secret := range s.Secrets {
		for _, days := range [...]int{0, -1, 1} {
			k, err := publicKey(deriveKey(secret, s.now().UTC().AddDate(0, 0, days).Format(time.DateOnly)))
			if err != nil {
				return set, err
			}
			set.Keys = append(set.Keys, k)
		}
	}
	return set, nil
}

// cacheable lets caches keep an answer, because the answer contains nothing about a person.
type cacheable struct{ http.ResponseWriter }

func (w cacheable) WriteHeader(status int) {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.ResponseWriter.WriteHeader(status)
}

func (s *Signer) now() time.Time { return defaults.Now(s.Now) }
