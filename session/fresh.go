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

// Bound is the longest time for which a person may still be let in after the session was
// revoked at Ory, the identity was deactivated there, or the user's row was deleted: at the
// worst moment and with anything out of order. Revoke and Purge take effect at once, and
// within a second on other replicas. With Tokens the bound is at least their longest life,
// because a token counts until it expires; its user's row is read as often as with any
// session.
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

// memorable is for how long a purge is kept: no answer lives longer. A token may, if the
// wall clock is set back.
func (v *Verifier) memorable() int64 {
	if v.Tokens != nil {
		return later(0, v.Bound()+jwt.LongestLife+questionTimeout)
	}
	return later(0, v.Bound()+questionTimeout)
}

// renewAt is when a hit should ask Ory again. The moment depends on the key, so that
// answers that came together are not renewed together.
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

// unanswered is "don't know" because Ory gave no answer, or one without a meaning.
// OutageGrace applies to it, and not to a contradiction.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// contradiction is "don't know" because Ory answered 200 for a session that is expired or
// inactive. The cached answer stays until it expires, but OutageGrace never extends it.
type contradiction struct{ error }

func (c contradiction) Unwrap() error { return c.error }

// grace returns the last good answer for a credential when Ory gives no new one. The
// answer then counts for a second more, so that Ory is asked once a second.
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
