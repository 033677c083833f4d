package session

import (
	"errors"
	"time"

	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// How fresh an answer is. It counts from when the question was sent:
//
//	sent ─────── 5/8 to 7/8 ─────── MaxStale ─ ─ ─ OutageGrace ─▶ void
//	      cached │   cached, and     │ only while Ory does │
//	             │   asked again in  │ not answer          │
//	             │   the background  │
//
// never longer than the session itself, and not a moment longer once it was purged.

// edgeAge is how old an answer of Ory Network's edge may be.
const edgeAge = 150 * time.Second

// Bound is the longest time after which somebody may still be let in whose session
// was revoked at Ory, whose identity was deactivated there, or whose user's row was
// deleted, however unlucky the moment and whatever stops working meanwhile. What
// goes through Revoke or Purge takes effect at once, and within a second on other
// replicas. With Tokens it is at least their longest life: a token counts until it
// expires, though the user's row is looked at as often as with any session.
func (v *Verifier) Bound() time.Duration {
	bound := v.maxStale() + max(v.OutageGrace, 0)
	if v.Check() == nil && v.ory.EdgeCache {
		bound += edgeAge
	}
	if v.Tokens != nil {
		bound = max(bound, v.Tokens.MaxAge())
	}
	return bound
}

func (v *Verifier) maxStale() time.Duration {
	if v.MaxStale <= 0 {
		return defaultMaxStale
	}
	return v.MaxStale
}

// memorable is for how long a purge matters: no answer lives longer. A token does where
// the wall clock is set back.
func (v *Verifier) memorable() int64 {
	if v.Tokens != nil {
		return later(0, v.Bound()+jwt.LongestLife+patience)
	}
	return later(0, v.Bound()+patience)
}

// renewAt is when a hit should ask again. Answers that came together part.
func renewAt(k key, sent int64, life time.Duration) int64 {
	return later(sent, life/256*(160+time.Duration(k[0])/4))
}

// keepFresh asks Ory again in the background when a cached answer has lived most of its
// life. The request that finds it does not wait. An answer that no request finds is left
// to expire.
func (v *Verifier) keepFresh(k key, cred ory.Credential, e *entry, now int64) {
	due := e.renew.Load()
	if now < due || !e.renew.CompareAndSwap(due, later(now, time.Second)) {
		return
	}
	_, _, _ = v.join(k, cred, e.sent, true)
}

// unanswered is "don't know" because Ory does not answer, or not so that it means
// anything. What Ory says that cannot be believed is not.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// contradiction is "don't know" because Ory says of the session what cannot be: that
// it is good, and over. It ends no answer before its time, and no grace goes past it.
type contradiction struct{ error }

func (c contradiction) Unwrap() error { return c.error }

// grace returns the last good answer for a credential when Ory does not give a new
// one. It then counts for a second, so that Ory is asked no more often than that.
func (v *Verifier) grace(k key, err error) *entry {
	var silence unanswered
	if v.OutageGrace <= 0 || !errors.As(err, &silence) {
		return nil
	}
	e, ok := v.cache.GetIfPresent(k)
	if !ok || e.principal == nil || e.final.Load() || v.purges.cover(e) {
		return nil
	}
	now := v.mono()
	last := min(later(e.sent, v.maxStale()+v.OutageGrace), e.ends)
	if now >= last {
		return nil
	}
	e.until.Store(min(later(now, time.Second), last))
	v.count.servedStale.Add(1)
	return e
}
