package doctor

import (
	"context"
	"strings"
)

// checkTokens checks that the keys of Ory's tokens can be read and are public keys.
func (d *Doctor) checkTokens(ctx context.Context) Result {
	if d.TokenKeys == nil {
		return skipped("Ory's tokens are not accepted (auth.jwt)")
	}
	used, unused, err := d.TokenKeys(ctx)
	if ctx.Err() != nil {
		return unknown("run it again", "the doctor was interrupted before it could read auth.jwt.jwks")
	}
	if err != nil {
		return problem("auth.jwt.jwks: %s", err).
			breaks("requests with one of Ory's tokens get 503, unless a running server has read the token's key before").
			fix("publish the public keys of Ory's token template at this address, as {\"keys\": […]} (docs/ory-tokens.md)")
	}
	is := strings.Join(used, ", ")
	if len(unused) > 0 {
		is += "; not usable: " + strings.Join(unused, "; ")
	}
	return well("Ory's tokens are verified with the keys %s", is)
}
