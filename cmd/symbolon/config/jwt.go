package config

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// JWTConfig is about Ory's own tokenised sessions (whoami?tokenize_as=…), which are verified
// by their signature. Without JWKS they are not accepted.
type JWTConfig struct {
	// JWKS is the place of the public keys: a URL, the path of a file, or base64://….
	JWKS string `yaml:"jwks"`

	// Issuer must be equal to iss: Ory's public URL, with its last slash.
	Issuer string `yaml:"issuer"`

	// Audience must be in aud. If it is empty, a token with an aud is refused.
	Audience string `yaml:"audience"`

	// Algorithms are the accepted signature algorithms. Default: ES256, EdDSA, RS256.
	Algorithms []string `yaml:"algorithms"`

	// UserClaim is the name of a claim that holds the user's ID. The answer is 401 if the
	// token lacks the claim, and 403 if the ledger links another user to the identity in sub.
	// The value "sub" means no extra check.
	UserClaim string `yaml:"user_claim"`

	// MaxLife is the longest accepted life of a token. For that time a session that was
	// revoked at Ory may still be accepted.
	MaxLife time.Duration `yaml:"max_life"`
}

// Tokens is the verifier of these tokens; nil without JWKS.
func (j *JWTConfig) Tokens() *jwt.Verifier {
	if j.JWKS == "" {
		return nil
	}
	return &jwt.Verifier{JWKS: j.JWKS, Issuer: j.Issuer, Audience: j.Audience, Algorithms: j.Algorithms, UserClaim: j.UserClaim, MaxLife: j.MaxLife}
}

// jwtKeys are the keys of auth.jwt by the fields of jwt.Verifier.
var jwtKeys = map[string]string{"JWKS": "jwks", "Issuer": "issuer", "Audience": "audience", "Algorithms": "algorithms", "UserClaim": "user_claim", "MaxLife": "max_life"}

func (c *Config) checkJWT(r *report) {
	j := &c.Auth.JWT
	r.faultIf(j.MaxLife <= 0, "auth.jwt.max_life", // to the library, 0 means its default
		"it must be between 1s and 1h: the time for which a session that was revoked at Ory may still be accepted")
	tokens := j.Tokens()
	if tokens == nil {
		r.faultIf(j.Issuer != "" || j.Audience != "" || len(j.Algorithms) > 0, "auth.jwt.jwks", "it is not set, and the rest of auth.jwt has no effect without it: set it to the URL or the path of a file with the public keys")
		return
	}
	problems := faults.In(tokens.Check())
	for _, field := range slices.Sorted(maps.Keys(problems)) {
		r.faultIn("auth.jwt."+jwtKeys[field], problems[field])
	}
	if j.Audience == "" {
		r.warn("auth.jwt.audience", "it is not set: Symbolon accepts every token without an aud that Ory signs with these keys, also a token for another application")
	}
	if c.Ory.AdminURL == "" {
		r.warn("auth.jwt", "without ory.admin_url a token makes no user, and Symbolon cannot check whether the token's session was revoked: a token is accepted for up to %s", j.MaxLife)
	}
}

// CheckKeys reads public keys that are on this machine, so that serve does not start with
// bad ones. Keys behind a URL are read once serve has started.
func (j *JWTConfig) CheckKeys(ctx context.Context) error {
	if tokens := j.Tokens(); tokens != nil {
		if err := tokens.CheckKeys(ctx); err != nil {
			return fmt.Errorf("auth.jwt.jwks: %w", err)
		}
	}
	return nil
}
