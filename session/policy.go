package session

import (
	"time"

	"github.com/symbolon-id/symbolon"
)

// Policy is a condition on a session beyond its being good. Policies are judged
// for every request, after the cache.
type Policy struct {
	judge func(p *symbolon.Principal, now time.Time) error
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

func judge(p *symbolon.Principal, policies []Policy, now time.Time) error {
	for _, policy := range policies {
		if policy.judge == nil {
			continue
		}
		if err := policy.judge(p, now); err != nil {
			return err
		}
	}
	return nil
}
