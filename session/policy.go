package session

import (
	"time"

	"github.com/symbolon-id/symbolon"
)

// Policy is a condition on a valid session. Policies are checked on every request, also
// when the answer comes from the cache.
type Policy struct {
	check func(p *symbolon.Principal, now time.Time) error
}

// AAL2 requires two factors. Its denial is [ErrAAL2Required].
var AAL2 = Policy{func(p *symbolon.Principal, _ time.Time) error {
	if p.Session.AAL != "aal2" && p.Session.AAL != "aal3" {
		return ErrAAL2Required
	}
	return nil
}}

// Verified requires an e-mail address that Ory has verified. Its denial is [ErrNotVerified].
var Verified = Policy{func(p *symbolon.Principal, _ time.Time) error {
	if p.Email == "" {
		return ErrNotVerified
	}
	return nil
}}

// Fresh requires that the person signed in, or signed in again, at most d ago. Use it
// before a password is changed or an account is deleted. Its denial is [ErrNotFresh].
func Fresh(d time.Duration) Policy {
	return Policy{func(p *symbolon.Principal, now time.Time) error {
		if now.Sub(p.Session.AuthenticatedAt) > d {
			return ErrNotFresh
		}
		return nil
	}}
}

// firstDenial returns the denial of the first policy that denies the principal, or nil.
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
