package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// What happens to a tokenised session:
//
//	read ── another issuer or audience, expired, odd ───────────▶ 401, and nothing is remembered
//	  │
//	  ▼ the signature: once, as long as its key is published
//	keys ── not by it, no such key ─────────────────────────────▶ 401
//	  │  └─ not known whether there is one ─────────────────────▶ 503
//	  ▼ was there a purge of its identity, its session?
//	Ory's books (admin API) ── the session has ended ───────────▶ 401
//	  │                     └─ they do not answer ──────────────▶ 503
//	  ▼ the bond, read again as often as a session's
//	ledger ── none yet: what Ory holds of the identity ─────────▶ Linker.Link
//	  │    └─ held, gone, another user than the claim says ─────▶ 403
//	  ▼
//	user

func (v *Verifier) wireTokens() error {
	if v.Tokens == nil {
		return nil
	}
	err := v.Tokens.check()
	if err != nil {
		return err
	}
	v.keys, err = newKeyring(v.Tokens, &keyring{mono: v.mono, now: v.now, base: v.base, failed: func(err error) {
		v.complain(&v.quietKeys, "the public keys of Ory's tokens cannot be read: those that are known count", err)
	}})
	if err != nil {
		return fmt.Errorf("Tokens.JWKS: %w", err)
	}
	return nil
}

// plausible reports whether a credential may be good: see wellFormed. Of a token it
// judges everything that needs no key, so that an application's own cost no more.
func (v *Verifier) plausible(cred ory.Credential) bool {
	if cred.Kind != TokenisedSession {
		return wellFormed(cred)
	}
	if v.Tokens == nil {
		return false
	}
	_, err := v.Tokens.read(cred.Value, v.now())
	if err != nil {
		v.refused(err)
	}
	return err == nil
}

// refused counts and logs a refusal. What Ory has signed says that somebody's
// configuration is wrong; all else is anybody's word.
func (v *Verifier) refused(err error) {
	v.count.refused.Add(1)
	var r *refusal
	if errors.As(err, &r) && r.setup {
		v.complain(&v.quietTokens, "a token that Ory signed is refused", err)
		return
	}
	v.log().Debug("a token is refused", "why", err)
}

// askToken finds the user of a tokenised session. The error is "don't know".
func (v *Verifier) askToken(ctx context.Context, k key, raw string) (*entry, error) {
	t, err := v.verified(ctx, k, raw, v.moment())
	if err == nil {
		err = v.caughtUp(ctx)
	}
	at, was := v.moment(), t
	if err == nil {
		t, err = v.undoubted(ctx, t, at)
	}
	if err != nil {
		return v.noToken(at, was, err)
	}
	left := min(t.expires.Sub(at.wall), time.Duration(t.ends-at.mono))
	e := newEntry(at, v.maxStale(), left)
	e.identity, e.session, e.token = t.identity, t.session, t
	link, err := v.bond(ctx, t)
	if errors.Is(err, ErrUnauthenticated) {
		return v.noToken(at, t, err)
	}
	return v.settle(ctx, k, e, at, left, link, err, &symbolon.Principal{Email: t.email, Tokenised: true,
		Session: symbolon.Session{ID: t.session, AAL: t.aal, AuthenticatedAt: t.authenticated, ExpiresAt: t.expires}})
}

// noToken is the answer to one that is refused; every other error is "don't know". What
// was once verified stays so, that a clock that is set back brings back no token.
func (v *Verifier) noToken(at moment, t *token, err error) (*entry, error) {
	if !errors.Is(err, ErrUnauthenticated) {
		return nil, err
	}
	v.refused(err)
	e := v.nobody(at)
	e.token = t
	e.weigh(0)
	return e, nil
}

// verified returns what a token says, whose signature is verified once, as long as it
// is remembered and its key is published. Of one that has expired since it returns that
// beside the refusal.
func (v *Verifier) verified(ctx context.Context, k key, raw string, at moment) (*token, error) {
	if e, ok := v.cache.GetIfPresent(k); ok && e.token != nil && v.keys.holds(e.token.key) {
		if at.mono >= e.token.ends || !at.wall.Before(e.token.expires) {
			return e.token, notGood("it has expired")
		}
		return e.token, nil
	}
	t, err := v.Tokens.read(raw, at.wall)
	if err != nil {
		return nil, err
	}
	key, err := v.keys.find(ctx, t)
	if err != nil {
		return nil, err
	}
	v.count.signatures.Add(1)
	if err := v.Tokens.verify(raw, t, key); err != nil {
		return nil, err
	}
	t.ends = later(at.mono, t.expires.Sub(at.wall))
	if id, err := symbolon.UserID(t.identity).UUID(); err == nil {
		v.known.remember(k, id, at.mono, 0) // no stranger, whose flights are the first to be refused
	}
	return t, nil
}

// undoubted returns the token if no purge is about it, or if Ory's books say that its
// session goes on.
func (v *Verifier) undoubted(ctx context.Context, t *token, at moment) (*token, error) {
	asks := v.ory.HasAdmin() && t.session != ""
	doubted := v.doubted(t, at, !asks) || asks && v.unheard(t, at)
	switch {
	case !doubted:
		return t, nil
	case !asks:
		return nil, notGood("it was issued before its identity or its session was purged")
	}
	s, err := v.askBooks(ctx, t.session)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return nil, notGood("its session has ended")
	case err != nil:
		return nil, unanswered{fmt.Errorf("session: whether a token's session has ended cannot be read: %w", err)}
	case !s.Active:
		return nil, notGood("its session has ended")
	case s.Identity == nil:
		return nil, fmt.Errorf("session: a token's session is shown without its identity: %w", symbolon.ErrUnavailable)
	case s.Identity.ID != t.identity || s.Identity.State != symbolon.Active:
		return nil, notGood("its session is not, or no longer, of an active identity that it names")
	}
	cleared := *t
	cleared.vouched, cleared.cleared = true, at.epoch
	return &cleared, nil
}

// askBooks reads a session at Ory's admin API, in one of the places that all questions
// share.
func (v *Verifier) askBooks(ctx context.Context, session string) (ory.Session, error) {
	select {
	case v.asking <- struct{}{}:
		defer func() { <-v.asking }()
		return v.ory.Session(ctx, session)
	case <-ctx.Done():
		return ory.Session{}, fmt.Errorf("too many questions wait for Ory: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
}

// unheard reports whether a purge may have been missed: others cannot be heard now, or
// there is nobody to remember what was purged before this process began.
func (v *Verifier) unheard(t *token, at moment) bool {
	if v.Broadcast != nil {
		return v.deaf.Load()
	}
	began := at.wall.Add(-time.Duration(at.mono))
	return !t.vouched && began.Sub(t.issued) >= time.Second // as exact as iat is
}

// doubted reports whether a purge concerns a token that no book was asked about
// since. A purge of everybody concerns what was issued before it; where no book can
// be asked, so does every other: who has signed in again since has a newer token.
func (v *Verifier) doubted(t *token, at moment, byTime bool) bool {
	p := &v.purges
	p.mu.RLock()
	defer p.mu.RUnlock()
	before := func(one purge) bool {
		return t.issued.Sub(at.wall.Add(-time.Duration(at.mono-one.at))) <= tokenLeeway
	}
	for _, id := range [...]string{string(t.identity), t.session} {
		if one := p.of[id]; id != "" && one.epoch > t.cleared && (!byTime || before(one)) {
			return true
		}
	}
	all := p.of[everything]
	return all.epoch > max(t.cleared, p.begun.Load()) && before(all)
}

// bond returns whose user a token is. It makes one only by what Ory holds of the
// identity, as every way in does: a token does not say enough.
func (v *Verifier) bond(ctx context.Context, t *token) (symbolon.Link, error) {
	link, err := v.Linker.Lookup(ctx, t.identity)
	var deny *symbolon.DenyError
	denied := errors.As(err, &deny)
	switch {
	case err != nil && !denied && !errors.Is(err, symbolon.ErrNotFound):
		return symbolon.Link{}, err
	case err != nil && v.ory.HasAdmin():
		if link, err = v.linkByBooks(ctx, t.identity); err != nil {
			return symbolon.Link{}, err
		}
	case denied:
		return symbolon.Link{}, err
	case err != nil:
		return symbolon.Link{}, &symbolon.DenyError{Identity: t.identity, Err: symbolon.ErrCannotCreate,
			Detail: "a token makes no user: a request with the session itself does, or ory.admin_url is configured"}
	}
	if t.user != "" && t.user != string(link.User) {
		return symbolon.Link{}, &symbolon.DenyError{Identity: t.identity, Finding: symbolon.ColumnDisagrees, Err: symbolon.ErrOnHold,
			Detail: fmt.Sprintf("the claim %s names another user than %s, whom the ledger binds to the identity", v.Tokens.UserClaim, link.User)}
	}
	return link, nil
}

// linkByBooks reads an identity at Ory and links it.
func (v *Verifier) linkByBooks(ctx context.Context, id symbolon.IdentityID) (symbolon.Link, error) {
	seen, err := v.ory.Identity(ctx, id)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return symbolon.Link{}, notGood("Ory no longer has its identity")
	case err != nil:
		return symbolon.Link{}, err
	case seen.State != symbolon.Active:
		return symbolon.Link{}, notGood("its identity is not active")
	}
	return v.Linker.Link(ctx, symbolon.Reading{Identity: seen, Admin: true, Source: symbolon.FromRequest})
}

// catchUp says that what was told before the start is heard.
func (v *Verifier) catchUp() {
	select {
	case <-v.caught:
	default:
		close(v.caught)
	}
}

// caughtUp waits until it is: a token that was revoked before this process began must
// not be good here.
func (v *Verifier) caughtUp(ctx context.Context) error {
	if v.caught == nil {
		return nil
	}
	select {
	case <-v.caught:
		return nil
	default:
	}
	select {
	case <-v.caught:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("session: what other replicas revoked cannot be heard yet: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
}
