package session

import (
	"context"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// The age of an answer is measured from the moment when the question was sent:
//
//	sent ─────── 5/8 to 7/8 ─────── MaxStale ─ ─ ─ OutageGrace ─▶ void
//	      cached │   cached, and     │ only while Ory does │
//	             │   asked again in  │ not answer          │
//	             │   the background  │
//
// An answer is never used after its session has expired, or after a purge.

// edgeAge is the greatest age of an answer from the edge cache of Ory Network.
const edgeAge = 150 * time.Second

// Bound is the longest time for which a person may still be let in after the session was
// revoked at Ory, the identity was deactivated there, or the user's row was deleted. The
// bound holds even in the worst case and during any outage. Revoke and Purge take effect at
// once, and within a second on other replicas. With Tokens the bound is at least their
// longest life, because a token is accepted until it expires. The row of a token's user is
// read as often as that of any session.
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

func (v *Verifier) maxStale() time.Duration { return defaults.Positive(v.MaxStale, defaultMaxStale) }

// purgeAge is how long a purge is kept. No answer lives longer. The one exception is a
// token: if the wall clock is set back, the token expires later than it should.
func (v *Verifier) purgeAge() int64 {
	age := v.Bound() + questionTimeout
	if v.Tokens != nil {
		age += jwt.LongestLife
	}
	return later(0, age)
}

// renewAt is the moment from which a hit asks Ory again: after 5/8 to 7/8 of life. It
// depends on the key, so that answers that arrived at the same time are not renewed at the
// same time.
func renewAt(k key, sent int64, life time.Duration) int64 {
	return later(sent, life/256*(160+time.Duration(k[0])/4))
}

// keepFresh asks Ory again in the background when a cached answer has lived most of its
// life. The request that finds it does not wait. An answer that no request finds expires.
func (v *Verifier) keepFresh(k key, cred ory.Credential, e *entry, now int64) {
	due := e.renew.Load()
	if now < due || !e.renew.CompareAndSwap(due, later(now, time.Second)) {
		return
	}
	_, _, _ = v.join(context.Background(), k, cred, e.sent, true)
}

// unanswered is "don't know" because Ory gave no answer, or a meaningless one. OutageGrace
// applies to this error, and not to a contradiction.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// contradiction is "don't know" because Ory answered 200 for a session that is expired or
// inactive. The cached answer stays until it expires, but OutageGrace never extends it.
type contradiction struct{ error }

func (c contradiction) Unwrap() error { return c.error }

// grace returns the last good answer for a credential when Ory gives no new answer. It
// makes the old answer valid for one more second, so that Ory is asked once a second.
func (v *Verifier) grace(k key, err error) *entry {
	if v.OutageGrace <= 0 || !errors.As(err, new(unanswered)) {
		return nil
	}
	e, ok := v.cache.GetIfPresent(k)
	if !ok || e.principal == nil || e.final.Load() || v.void(e) {
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
