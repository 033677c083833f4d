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

// JWTConfig is about Ory's own tokenised sessions (whoami?tokenize_as=…), verified by
// their signature. Without JWKS there are none.
type JWTConfig struct {
	// JWKS is where the public keys are: a URL, the path of a file, or base64://….
	JWKS string `yaml:"jwks"`

	// Issuer is what iss has to be, exactly: Ory's public URL, with its last slash.
	Issuer string `yaml:"issuer"`

	// Audience has to be one of aud. Empty: a token with an aud is refused.
	Audience string `yaml:"audience"`

	// Algorithms that are believed. Default: ES256, EdDSA, RS256.
	Algorithms []string `yaml:"algorithms"`

	// UserClaim is a claim that has to name the ledger's user; sub: none.
	UserClaim string `yaml:"user_claim"`

	// MaxLife is the longest life of a token that is believed: so long a session that was
	// revoked at Ory may still be let in.
	MaxLife time.Duration `yaml:"max_life"`
}

// Tokens is nil where nothing is configured.
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
	if j.MaxLife <= 0 { // nought is the library's default, and here somebody wrote it
		r.fault("auth.jwt.max_life", "it must be between 1s and 1h: so long a session that was revoked at Ory may still be let in")
	}
	tokens := j.Tokens()
	if tokens == nil {
		if j.Issuer != "" || j.Audience != "" || len(j.Algorithms) > 0 {
			r.fault("auth.jwt.jwks", "it is not set, and the rest of auth.jwt says nothing without it: the URL or the path of a file with the public keys")
		}
		return
	}
	problems := faults.In(tokens.Check())
	for _, field := range slices.Sorted(maps.Keys(problems)) {
		r.faultIn("auth.jwt."+jwtKeys[field], problems[field])
	}
	if j.Audience == "" {
		r.warn("auth.jwt.audience", "it is not set: every token without an aud that Ory signs with these keys is taken, whomever its template makes it for")
	}
	if c.Ory.AdminURL == "" {
		r.warn("auth.jwt", "without ory.admin_url a token makes no user, and whether its session was revoked cannot be asked: it counts for up to %s", j.MaxLife)
	}
}

// CheckKeys reads the public keys that are on this machine, since serve must not start
// with bad ones. serve reads a URL when it has started.
func (j *JWTConfig) CheckKeys(ctx context.Context) error {
	tokens := j.Tokens()
	if tokens == nil {
		return nil
	}
	if err := tokens.CheckKeys(ctx); err != nil {
		return fmt.Errorf("auth.jwt.jwks: %w", err)
	}
	return nil
}
