package session

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// A tokenised session is verified in these steps:
//
//	read ── another issuer or audience, expired, malformed ─────▶ 401, and nothing is remembered
//	  │
//	  ▼ the signature: once, as long as its key is published
//	keys ── another key's signature, no such key ───────────────▶ 401
//	  │  └─ it is not known whether the key exists ─────────────▶ 503
//	  ▼ if its identity or its session was purged
//	Ory's admin API ── the session has ended ───────────────────▶ 401
//	  │             └─ no answer ───────────────────────────────▶ 503
//	  ▼ the bond, read again as often as a session's
//	ledger ── no bond yet: the identity is read at Ory ─────────▶ Linker.Link
//	  │    └─ held, gone, another user than the claim names ────▶ 403
//	  ▼
//	user

// TokenisedSession is the kind of a credential that is a JWT which Ory made of a session
// (whoami?tokenize_as=…). A client sends it in Authorization: Bearer. It is accepted only
// if [Verifier.Tokens] is set, and is never sent to Ory.
const TokenisedSession ory.Kind = "tokenised"

// heldToken is a verified token, with what this verifier knows about its session. It is
// immutable.
type heldToken struct {
	*jwt.Token
	ends    int64 // the value of Verifier.mono when the token expires, whatever the wall clock says later
	checked bool  // its session was read at the admin API and was active
	cleared int64 // the epoch of purges at which the session was read
}

func (t *heldToken) size() int { return int(unsafe.Sizeof(*t)) + t.Size() }

func (v *Verifier) wireTokens() error {
	if v.Tokens == nil {
		return nil
	}
	err := v.Tokens.Check()
	if err != nil {
		return fmt.Errorf("Verifier.Tokens: %w", err)
	}
	v.keys, err = v.Tokens.Keys(v.now, func(err error) {
		v.warn(&v.warnedKeys, "the public keys of Ory's tokens cannot be read: the keys that were read before are still used", err)
	})
	if err != nil {
		return fmt.Errorf("Tokens.JWKS: %w", err)
	}
	return nil
}

// plausible reports whether a credential may be valid; see wellFormed. For a token it makes
// every check that needs no key, so that an application's own tokens cost no more than
// that.
func (v *Verifier) plausible(cred ory.Credential) bool {
	if cred.Kind != TokenisedSession {
		return wellFormed(cred)
	}
	if v.Tokens == nil {
		return false
	}
	_, err := v.Tokens.Read(cred.Value, v.now())
	if err != nil {
		v.refused(err)
	}
	return err == nil
}

// isRefusal reports whether an error says that a token is not valid. Every other error is
// "don't know".
func isRefusal(err error) bool {
	_, refused := errors.AsType[*jwt.Refusal](err)
	return refused
}

// refused counts and logs a refusal. It warns only about tokens that Ory signed, because
// anybody can send the others.
func (v *Verifier) refused(err error) {
	v.count.refused.Add(1)
	if r, ok := errors.AsType[*jwt.Refusal](err); ok && r.Misconfigured {
		v.warn(&v.warnedTokens, "a token that Ory signed is refused", err)
		return
	}
	v.log().Debug("a token is refused", "why", err)
}

// askToken finds the user of a tokenised session. The error is "don't know".
func (v *Verifier) askToken(ctx context.Context, k key, raw string) (*entry, error) {
	t, err := v.verified(ctx, k, raw, v.moment())
	if err == nil {
		err = v.waitReplayed(ctx)
	}
	at, was := v.moment(), t
	if err == nil {
		t, err = v.checkPurges(ctx, t, at)
	}
	if err != nil {
		return v.noToken(at, was, err)
	}
	left := min(t.Expires.Sub(at.wall), time.Duration(t.ends-at.mono))
	e := newEntry(at, v.maxStale(), left)
	e.identity, e.session, e.token = t.Identity, t.Session, t
	link, err := v.bond(ctx, t)
	if isRefusal(err) {
		return v.noToken(at, t, err)
	}
	return v.withBond(ctx, k, e, at, left, link, err, &symbolon.Principal{Email: t.Email, Tokenised: true,
		Session: symbolon.Session{ID: t.Session, AAL: t.AAL, AuthenticatedAt: t.Authenticated, ExpiresAt: t.Expires}})
}

// noToken makes the answer for a refused token. If err is not a refusal, it is "don't
// know". If the token was verified once, the answer keeps it with the time at which it ends.
// That time is not one of the wall clock, so setting the clock back does not make an expired
// token valid again.
func (v *Verifier) noToken(at moment, t *heldToken, err error) (*entry, error) {
	if !isRefusal(err) {
		return nil, err
	}
	v.refused(err)
	e := v.nobody(at)
	e.token = t
	e.measure(0)
	return e, nil
}

// verified returns a token whose signature is valid. The signature is verified only once,
// as long as the token is cached and its key is published. A token that has expired since
// then is returned with the refusal.
func (v *Verifier) verified(ctx context.Context, k key, raw string, at moment) (*heldToken, error) {
	if e, ok := v.cache.GetIfPresent(k); ok && e.token != nil && v.keys.Has(e.token.Token) {
		if at.mono >= e.token.ends || !at.wall.Before(e.token.Expires) {
			return e.token, &jwt.Refusal{Reason: "it has expired"}
		}
		return e.token, nil
	}
	t, err := v.keys.Verify(ctx, raw, at.wall)
	if err != nil {
		return nil, err
	}
	if id, err := symbolon.UserID(t.Identity).UUID(); err == nil {
		v.known.remember(k, id, at.mono, 0) // so that it may use the slots that are reserved for known credentials
	}
	return &heldToken{Token: t, ends: later(at.mono, t.Expires.Sub(at.wall))}, nil
}

// checkPurges returns the token if no purge concerns it, or if its session is active
// according to Ory's admin API.
func (v *Verifier) checkPurges(ctx context.Context, t *heldToken, at moment) (*heldToken, error) {
	readable := v.ory.HasAdmin() && t.Session != ""
	purged := v.purged(t, at, !readable) || readable && v.mayMissPurges(t, at)
	switch {
	case !purged:
		return t, nil
	case !readable:
		return nil, &jwt.Refusal{Reason: "it was issued before its identity or its session was purged"}
	}
	s, err := v.readSession(ctx, t.Session)
	switch gone := errors.Is(err, symbolon.ErrNotFound); {
	case err != nil && !gone:
		return nil, unanswered{fmt.Errorf("session: the session of a token cannot be read: %w", err)}
	case gone, !s.Active:
		return nil, &jwt.Refusal{Reason: "its session has ended"}
	case s.Identity == nil:
		return nil, fmt.Errorf("session: Ory returned the session of a token without its identity: %w", symbolon.ErrUnavailable)
	case s.Identity.ID != t.Identity || s.Identity.State != symbolon.Active:
		return nil, &jwt.Refusal{Reason: "its session belongs to another identity, or to one that is not active"}
	}
	return &heldToken{Token: t.Token, ends: t.ends, checked: true, cleared: at.epoch}, nil
}

// readSession reads a session at Ory's admin API. It takes one of the slots that all
// questions share.
func (v *Verifier) readSession(ctx context.Context, session string) (ory.Session, error) {
	leave, err := occupy(ctx, v.slots)
	if err != nil {
		return ory.Session{}, err
	}
	defer leave()
	return v.ory.Session(ctx, session)
}

// mayMissPurges reports whether this verifier may have missed a purge of a token, because
// the broadcast is down, or because without a broadcast the purges from before this process
// began are lost.
func (v *Verifier) mayMissPurges(t *heldToken, at moment) bool {
	if v.Broadcast != nil {
		return v.broadcastDown.Load()
	}
	began := at.wall.Add(-time.Duration(at.mono))
	return !t.checked && began.Sub(t.Issued) >= time.Second // because iat has whole seconds
}

// purged reports whether a purge concerns a token. A purge that is older than the last
// reading of the token's session does not concern the token. A purge of everybody concerns
// only tokens that were issued before the purge. The parameter byTime says that the session
// cannot be read. Then a purge of one identity or session also concerns only tokens that were
// issued before it, because a person who has signed in again since then has a newer token.
func (v *Verifier) purged(t *heldToken, at moment, byTime bool) bool {
	p := &v.purges
	p.mu.RLock()
	defer p.mu.RUnlock()
	before := func(one purge) bool {
		return t.MayPrecede(at.wall.Add(-time.Duration(at.mono - one.at)))
	}
	for _, id := range [...]string{string(t.Identity), t.Session} {
		if one := p.of[id]; id != "" && one.epoch > t.cleared && (!byTime || before(one)) {
			return true
		}
	}
	all := p.of[everything]
	return all.epoch > max(t.cleared, p.begun.Load()) && before(all)
}

// bond returns the user of a token. If the identity has no user yet, the identity is read
// at Ory first, because a token does not contain enough to make a user.
func (v *Verifier) bond(ctx context.Context, t *heldToken) (symbolon.Link, error) {
	link, err := v.Linker.Lookup(ctx, t.Identity)
	_, denied := errors.AsType[*symbolon.DenyError](err)
	switch {
	case err != nil && !denied && !errors.Is(err, symbolon.ErrNotFound):
		return symbolon.Link{}, err
	case errors.Is(err, symbolon.ErrDenied):
		return symbolon.Link{}, err // the application's own row says so, whatever Ory says
	case err != nil && v.ory.HasAdmin():
		if link, err = v.linkByAdmin(ctx, t.Identity); err != nil {
			return symbolon.Link{}, err
		}
	case denied:
		return symbolon.Link{}, err
	case err != nil:
		return symbolon.Link{}, &symbolon.DenyError{Identity: t.Identity, Err: symbolon.ErrCannotCreate,
			Detail: "a token makes no user: a request with the session itself makes one, or configure ory.admin_url"}
	}
	if t.User != "" && t.User != string(link.User) {
		return symbolon.Link{}, &symbolon.DenyError{Identity: t.Identity, Finding: symbolon.ColumnDisagrees, Err: symbolon.ErrOnHold,
			Detail: fmt.Sprintf("the claim %s does not name %s, the user whom the ledger binds to the identity", v.Tokens.UserClaim, link.User)}
	}
	return link, nil
}

// linkByAdmin reads an identity at Ory's admin API and links it.
func (v *Verifier) linkByAdmin(ctx context.Context, id symbolon.IdentityID) (symbolon.Link, error) {
	seen, err := v.ory.Identity(ctx, id)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return symbolon.Link{}, &jwt.Refusal{Reason: "Ory no longer has its identity"}
	case err != nil:
		return symbolon.Link{}, err
	case seen.State != symbolon.Active:
		return symbolon.Link{}, &jwt.Refusal{Reason: "its identity is not active"}
	}
	return v.Linker.Link(ctx, symbolon.Reading{Identity: seen, Admin: true, Source: symbolon.FromRequest})
}

// waitReplayed waits until the purges from before the start have arrived, because a token
// that was revoked before this process began must not be accepted here.
func (v *Verifier) waitReplayed(ctx context.Context) error {
	if v.replayed == nil {
		return nil
	}
	select {
	case <-v.replayed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("session: the purges of other replicas have not arrived yet: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
}
