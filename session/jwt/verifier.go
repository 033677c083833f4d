// Package jwt verifies the JSON Web Tokens that Ory makes of a session
// (whoami?tokenize_as=…). It verifies their signatures and does not ask Ory. A [Verifier]
// is the configuration: where the public keys are, and which tokens are accepted. [Keys]
// holds the keys and verifies tokens.
//
//	raw ── Read ── another issuer or audience, expired, malformed ─▶ *Refusal
//	         │
//	         ▼ Keys: the key that its kid names
//	       Verify ── another key's signature, no such key ─────────▶ *Refusal
//	         │    └─ it is not known whether the key exists ───────▶ don't know
//	         ▼
//	       Token
//
// Package session finds out whether the session behind a token is active, and which user
// it belongs to.
package jwt

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/faults"
)

// Verifier is the configuration for Ory's tokenised sessions. JWKS and Issuer are required.
// Set the fields before the first call and do not change them afterwards.
//
// A token is an earlier answer of Ory that the client keeps. If the session is revoked at
// Ory, or the identity is deactivated there, the token is still accepted until it expires.
// Purges and revocations by package session, on any replica, take effect at once.
//
// The user is the user that the ledger binds to the identity in sub. No claim chooses the
// user. The template's claims mapper may write these further claims: sid (Ory writes it),
// aal, authenticated_at (RFC 3339), email with email_verified. Without aal the token never
// meets AAL2. Without authenticated_at it never meets Fresh. Without email and
// email_verified it never meets Verified.
type Verifier struct {
	// JWKS is the source of the public keys: an http(s) URL (plain http only within one's
	// own network), the path of a file with or without file://, or base64:// followed by
	// the set itself. A set with a private or a symmetric key is refused: publish the
	// public halves of the template's keys. A key needs a kid. A key is used for one
	// algorithm: its alg, or without an alg the algorithm of its curve.
	//
	// A URL or a file is read at the start, when a token names a key that is not in the set
	// (at most once in ten seconds), and when the set is ten minutes old. While it cannot
	// be read, the keys of the last successful reading are used. A URL is asked past caches,
	// with Cache-Control: no-cache and a query parameter of its own. If a cache answers
	// nevertheless, a token whose key is missing is "don't know", and not refused.
	JWKS string

	// Issuer must equal iss. It is Ory's public URL, unless the claims mapper changes it.
	// A token of any other issuer is the application's own.
	Issuer string

	// Audience must be in aud. Ory writes no aud by itself; the claims mapper has to write
	// it. If Audience is empty, a token with an aud is refused. Set it if Ory makes tokens
	// for more than one application.
	Audience string

	// Algorithms are accepted: any of ES256, ES384, ES512, EdDSA, RS256, RS384, RS512,
	// PS256, PS384 and PS512. Defaults to ES256, EdDSA and RS256.
	Algorithms []string

	// UserClaim names a claim that holds the user's ID, for readers of the token that do
	// not ask Symbolon. A token without the claim is refused. If the claim does not name the
	// user whom the ledger binds to the identity in sub, the person is on hold. The claim
	// never chooses the user. Defaults to sub, which means that there is no such claim.
	UserClaim string

	// MaxLife is the longest accepted time from iat to exp. A session that was revoked at
	// Ory may still be let in for this time. Defaults to 15 minutes; at most an hour.
	MaxLife time.Duration

	// HTTP reads a URL. Only its transport is used. Optional.
	HTTP *http.Client
}

// LongestLife is the greatest MaxLife.
const LongestLife = time.Hour

const defaultLife = 15 * time.Minute

// Leeway is how far the signer's clock may be ahead of ours. The expiry has no leeway.
const Leeway = 10 * time.Second

// algorithmNames are the values of [Verifier.Algorithms]: the algorithms whose keys can be
// published.
var algorithmNames = []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

// Check reports all errors in the fields. It reads no keys.
func (v *Verifier) Check() error {
	all := faults.Of("jwt.Verifier")
	if fault := faultOfSource(v.JWKS); fault != "" {
		all.Say("JWKS", fault)
	}
	if v.Issuer == "" {
		all.Say("Issuer", "it is not set: Ory's public URL, which is the iss of its tokens")
	}
	if len(v.Issuer) > 1024 || len(v.Audience) > 1024 {
		all.Say("Issuer", "the issuer and the audience have at most 1024 characters")
	}
	for _, name := range v.Algorithms {
		if !slices.Contains(algorithmNames, name) {
			all.Say("Algorithms", "each must be one of "+strings.Join(algorithmNames, ", ")+
				": none proves nothing, and the key of an HS… cannot be published")
		}
	}
	if slices.Contains(notUsers, v.UserClaim) || len(v.UserClaim) > 64 {
		all.Say("UserClaim", "it must name a claim that your template adds and that holds the user's ID, or be sub")
	}
	if v.MaxLife < 0 || v.MaxLife > LongestLife || v.MaxLife != 0 && v.MaxLife < time.Second {
		all.Say("MaxLife", "it must be between 1s and 1h, because a session that was revoked at Ory may still be let in for this time")
	}
	return all.Err()
}

// notUsers are claims that have another meaning and so cannot be UserClaim.
var notUsers = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "sid", "aal", "authenticated_at", "email", "email_verified"}

// MaxAge is the longest time for which a token may still be accepted after its session was
// revoked at Ory.
func (v *Verifier) MaxAge() time.Duration { return v.maxLife() + Leeway }

func (v *Verifier) maxLife() time.Duration { return defaults.Positive(v.MaxLife, defaultLife) }

// algorithms returns the accepted algorithms.
func (v *Verifier) algorithms() []jose.SignatureAlgorithm {
	if len(v.Algorithms) == 0 {
		return []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256}
	}
	out := make([]jose.SignatureAlgorithm, len(v.Algorithms))
	for i, name := range v.Algorithms {
		out[i] = jose.SignatureAlgorithm(name)
	}
	return out
}

// userClaim returns the name of the claim to compare, or "".
func (v *Verifier) userClaim() string {
	if v.UserClaim == "sub" {
		return ""
	}
	return v.UserClaim
}
