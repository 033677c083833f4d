package session

import (
	"time"

	"github.com/symbolon-id/symbolon"
)

// Policy is a condition on a session beyond its being good. Policies are checked for every
// request, after the cache.
type Policy struct {
	check func(p *symbolon.Principal, now time.Time) error
}

// AAL2 wants two factors. Else [ErrAAL2Required].
var AAL2 = Policy{func(p *symbolon.Principal, _ time.Time) error {
	if p.Session.AAL != "aal2" && p.Session.AAL != "aal3" {
		return ErrAAL2Required
	}
	return nil
}}

// Verified wants an e-mail address that Ory has verified. Else [ErrNotVerified].
var Verified = Policy{func(p *symbolon.Principal, _ time.Time) error {
	if p.Email == "" {
		return ErrNotVerified
	}
	return nil
}}

// Fresh wants a sign-in, or its repetition, at most d ago: before a password is
// changed, an account deleted. Else [ErrNotFresh].
func Fresh(d time.Duration) Policy {
	return Policy{func(p *symbolon.Principal, now time.Time) error {
		if now.Sub(p.Session.AuthenticatedAt) > d {
			return ErrNotFresh
		}
		return nil
	}}
}

// firstDenial returns why a policy denies the principal.
func firstDenial(p *symbolon.Principal, policies []Policy, now time.Time) error {
	for _, policy := range policies {
		if policy.check == nil {
			continue
		}
		if err := policy.check(p, now); err != nil {
			return err
		}
	}
	return nil
}
