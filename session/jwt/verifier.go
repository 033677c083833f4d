// Package jwt verifies Ory's own tokens: JSON Web Tokens that Ory makes of a session
// (whoami?tokenize_as=…), by their signature and without asking Ory. A [Verifier] says
// where the public keys are and which tokens count; [Keys] holds the keys and verifies.
//
//	raw ── Read ── another issuer or audience, expired, odd ─▶ *Refusal
//	         │
//	         ▼ Keys: the key that its kid names
//	       Verify ── not by it, no such key ─────────────────▶ *Refusal
//	         │    └─ not known whether there is one ─────────▶ don't know
//	         ▼
//	       Token
//
// Whether the session behind a token goes on, and which user it is, package session asks.
package jwt

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/symbolon-id/symbolon/internal/faults"
)

// Verifier says which of Ory's tokenised sessions are good. JWKS and Issuer are required.
// Set the fields before the first call and leave them alone afterwards.
//
// A token is an answer that Ory gave earlier and that the client carries about. A session
// that was revoked at Ory meanwhile, or an identity that was deactivated there, is let in
// until the token expires. What package session is told of (Purge, Revoke, another
// replica's) takes effect at once all the same.
//
// The user is that of the identity in sub, as the ledger has it, never what a claim
// says. Claims that are read beside the registered ones, where the template's claims
// mapper writes them: sid (Ory does), aal, authenticated_at (RFC 3339), email with
// email_verified. Without aal no second factor is believed, without
// authenticated_at no session is fresh, without the last two none is verified.
type Verifier struct {
	// JWKS is where the public keys are: an http(s) URL, where plain http is for hosts
	// of one's own network only; the path of a file, with or without file://; or
	// base64:// and the set itself. A set that holds a private or a symmetric key is
	// refused: publish the public halves of the template's keys. A key needs a kid and
	// counts for one algorithm, its alg; where it has none, for the one of its curve.
	//
	// A URL is read at the start, when a token names a key that is not in the set (at
	// most once in ten seconds), and when a set is ten minutes old; a file likewise.
	// While it cannot be read the last good keys count.
	JWKS string

	// Issuer is what iss has to be, exactly: Ory's public URL, unless the claims mapper
	// says otherwise. A token of any other issuer is the application's own.
	Issuer string

	// Audience has to be one of aud. Ory writes none by itself: the claims mapper does.
	// Empty: a token with an audience is somebody else's. Set it wherever Ory makes
	// tokens for more than one reader.
	Audience string

	// Algorithms that are believed, of ES256, ES384, ES512, EdDSA, RS256, RS384, RS512,
	// PS256, PS384 and PS512. Defaults to ES256, EdDSA and RS256.
	Algorithms []string

	// UserClaim, where it is not "sub", names a claim that holds the user's ID. It must
	// be there and name the user whom the ledger binds to the identity in sub, else the
	// person is on hold: whoever reads the claim without asking us sees the same user.
	// It never chooses one. Defaults to sub: no such claim is looked at.
	UserClaim string

	// MaxLife is the longest life of a token that is believed, from iat to exp, and so
	// for how long a session that was revoked at Ory may still be let in. Defaults to
	// 15 minutes; at most an hour.
	MaxLife time.Duration

	// HTTP is what reads a URL; only its transport is used. Optional.
	HTTP *http.Client
}

const (
	defaultLife = 15 * time.Minute
	LongestLife = time.Hour

	// Leeway is by how much the clock of who signs may be ahead of ours. A token's
	// end has none.
	Leeway = 10 * time.Second
)

// algorithmNames are the names that [Verifier.Algorithms] may hold: only algorithms whose
// Keys can be published.
var algorithmNames = []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

// Check reports everything that is wrong with the fields. It reads no keys.
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
		all.Say("UserClaim", "it must name a claim of the template's own that holds the user's ID, or be sub")
	}
	if v.MaxLife < 0 || v.MaxLife > LongestLife || v.MaxLife != 0 && v.MaxLife < time.Second {
		all.Say("MaxLife", "it must be between 1s and 1h: so long a session that was revoked at Ory may still be let in")
	}
	return all.Err()
}

// notUsers are claims that mean something else.
var notUsers = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "sid", "aal", "authenticated_at", "email", "email_verified"}

// MaxAge is how long after its session's end at Ory a token may still be good.
func (v *Verifier) MaxAge() time.Duration { return v.maxLife() + Leeway }

func (v *Verifier) maxLife() time.Duration {
	if v.MaxLife <= 0 {
		return defaultLife
	}
	return v.MaxLife
}

// algorithms are those that are believed.
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

// userClaim is the claim to compare. It is empty where there is none.
func (v *Verifier) userClaim() string {
	if v.UserClaim == "sub" {
		return ""
	}
	return v.UserClaim
}
