package doctor

import (
	"context"
	"strings"
)

// checkTokens looks whether the keys of Ory's tokens are there, and are public ones.
func (d *Doctor) checkTokens(ctx context.Context) Result {
	if d.TokenKeys == nil {
		return skipped("no tokens of Ory's are taken (auth.jwt)")
	}
	used, unused, err := d.TokenKeys(ctx)
	if ctx.Err() != nil {
		return unknown("run it again", "there was no time to read auth.jwt.jwks")
	}
	if err != nil {
		return problem("auth.jwt.jwks: %s", err).
			breaks("whoever shows one of Ory's tokens gets 503, but by keys that a running server has read before").
			mend("publish the public halves of the template's keys there, as {\"keys\": […]} (docs/ory-tokens.md)")
	}
	is := strings.Join(used, ", ")
	if len(unused) > 0 {
		is += "; of no use: " + strings.Join(unused, "; ")
	}
	return well("Ory's tokens are verified by %s", is)
}
