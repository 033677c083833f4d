package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// unauthorised makes the answer after whoami has answered 401.
type unauthorised func(ctx context.Context, k key, cred ory.Credential, at moment) (*entry, error)

// ask asks Ory once for the session of a credential. The error is "don't know".
func (v *Verifier) ask(ctx context.Context, k key, cred ory.Credential, on401 unauthorised) (*entry, error) {
	at := v.moment() // before Ory is asked
	s, err := v.whoami(ctx, k, cred)
	switch {
	case err == nil:
		return v.admit(ctx, k, s, at)
	case errors.Is(err, ory.ErrNoSession):
		return on401(ctx, k, cred, at)
	case errors.Is(err, ory.ErrAAL2Required):
		// It is not cached, because the same session is accepted as soon as the person has
		// completed the second factor.
		e := newEntry(at, 0, 0)
		e.denied = aal2Required(err)
		return e, nil
	}
	return nil, unanswered{err}
}

// admit finds the user of a session that Ory has accepted.
func (v *Verifier) admit(ctx context.Context, k key, s ory.Session, at moment) (*entry, error) {
	if err := checkSession(s, at.wall); err != nil {
		return nil, contradiction{fmt.Errorf("session: whoami: %w: %w", err, symbolon.ErrUnavailable)}
	}
	v.know(k, s.ID)
	left := s.ExpiresAt.Sub(at.wall)
	e := newEntry(at, v.maxStale(), left)
	e.identity, e.session = s.Identity.ID, s.ID
	link, err := v.Linker.Link(ctx, symbolon.Reading{Identity: *s.Identity, Source: symbolon.FromRequest})
	return v.withBond(ctx, k, e, at, left, link, err, &symbolon.Principal{Session: s.Session, Email: s.Identity.VerifiedEmail()})
}

// withBond completes the answer e. link or err is the result of the search for the bond of
// e's identity.
func (v *Verifier) withBond(ctx context.Context, k key, e *entry, at moment, left time.Duration, link symbolon.Link, err error, p *symbolon.Principal) (*entry, error) {
	var deny *symbolon.DenyError
	switch {
	case errors.As(err, &deny):
		e.denied = deny
		e.until.Store(later(at.mono, min(v.maxStale(), maxDenied, left)))
		e.measure(len(deny.Detail))
		return e, nil
	case err != nil:
		// Even ErrNotFound is "don't know" here, because whoami has just shown the
		// identity.
		return nil, fmt.Errorf("session: %w (%v)", symbolon.ErrUnavailable, err) //nolint:errorlint // on purpose, see above
	case link.State != symbolon.Linked && link.State != symbolon.Also || link.User == "" || link.Identity != e.identity:
		return nil, fmt.Errorf("session: the linker returned the link of another identity: %w", symbolon.ErrUnavailable)
	}
	p.User = symbolon.User{ID: link.User, Identity: link.Identity}
	loaded, size, err := v.load(ctx, p.User)
	if err != nil {
		return nil, err
	}
	p.Loaded = loaded
	e.principal = p
	e.renew.Store(renewAt(k, at.mono, min(v.maxStale(), left)))
	e.measure(size)
	return e, nil
}

// maxLife is the longest remaining life of a session that is believed.
const maxLife = 100 * 365 * 24 * time.Hour

// checkSession returns the reason why an answer of whoami cannot be used, or nil. Ory has
// already checked the expiry. If our clock says that the session has expired, the answer is
// "don't know" and not a denial, so small differences between the clocks do no harm.
func checkSession(s ory.Session, now time.Time) error {
	left := s.ExpiresAt.Sub(now)
	switch {
	case !s.Active:
		return errors.New("200 with a session that is not active")
	case s.Identity == nil:
		return errors.New("200 without an identity")
	case s.Identity.State != symbolon.Active:
		return errors.New("200 with an identity that is not active")
	case left <= 0:
		return errors.New("200 with a session that has expired by our clock")
	case left > maxLife || s.ExpiresAt.Year() > 9000:
		return errors.New("200 with an absurd expiry")
	case s.AuthenticatedAt.Sub(now) > 24*time.Hour || s.AuthenticatedAt.Year() < 2000:
		return errors.New("200 with an absurd time of authentication")
	}
	return nil
}
