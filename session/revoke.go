package session

import (
	"context"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Broadcast is how the replicas of a program tell each other whom to forget.
// sqlstore.Replicas is one.
type Broadcast interface {
	// Tell lets every replica hear of these identities and sessions within a second.
	// It does not matter whether the one that tells hears it too, nor how often
	// anybody does. It may be called by many goroutines at once.
	Tell(ctx context.Context, ids []string) error

	// Hear returns what was told since the call before, as soon as there is
	// something, or nothing after a while. The first call returns at once, with what
	// was told in the two hours before: tokens of Ory's outlive a restart. One goroutine
	// calls it, again and again; an error loses nothing.
	Hear(ctx context.Context) (ids []string, err error)
}

// Purge forgets what Ory said of an identity's sessions, and makes every question
// that is under way be asked again: after it has returned nobody is let in here by
// an older answer, and within a second on no other replica.
//
// A tokenised session is an older answer that the client carries about: whether its
// session has ended is asked of Ory's admin API then; without one, or a sid in it, it
// is refused if it was issued before.
func (v *Verifier) Purge(id symbolon.IdentityID) { v.purge(string(id)) }

// PurgeSession is Purge for one session.
func (v *Verifier) PurgeSession(id string) { v.purge(id) }

// Revoke ends all sessions of an identity at Ory and purges them. Errors:
// symbolon.ErrNoAdmin; symbolon.ErrUnavailable: it is not known whether Ory did.
func (v *Verifier) Revoke(ctx context.Context, id symbolon.IdentityID) error {
	if err := v.Check(); err != nil {
		return err
	}
	err := v.ory.RevokeSessions(ctx, id)
	v.purge(string(id)) // whatever Ory said: it may have done it all the same
	return err
}

// RevokeSession is Revoke for one session. ErrNotFound: Ory has no such session.
func (v *Verifier) RevokeSession(ctx context.Context, id string) error {
	if err := v.Check(); err != nil {
		return err
	}
	err := v.ory.RevokeSession(ctx, id)
	v.purge(id)
	return err
}

// purge is also what the Linker calls when a bond changed.
func (v *Verifier) purge(id string) {
	if v.Check() != nil {
		return
	}
	if canonical, err := symbolon.ParseIdentityID(id); err == nil {
		id = string(canonical)
	}
	v.forget(id)
	if v.Broadcast != nil && !v.told.put(id, struct{}{}) {
		v.told.only(everything, struct{}{})
	}
}

func (v *Verifier) forget(id string) { v.purges.add(id, v.mono(), v.memorable()) }

// tell is the outbox's way to Broadcast.
func (v *Verifier) tell(ctx context.Context, batch map[string]struct{}) error {
	ids := make([]string, 0, len(batch))
	for id := range batch {
		ids = append(ids, id)
	}
	return v.Broadcast.Tell(ctx, ids)
}

// hearPause lies between calls that fail.
const hearPause = 250 * time.Millisecond

// hear forgets whom other replicas say, until the verifier is closed.
func (v *Verifier) hear() {
	begun := false
	for v.base.Err() == nil {
		ids, err := v.Broadcast.Hear(v.base)
		if err != nil {
			if v.base.Err() == nil {
				v.deaf.Store(true)
				v.complain(&v.quietDeaf, "other replicas cannot be heard: what they revoke is seen here later", err)
				v.pause(hearPause)
			}
			continue
		}
		v.deaf.Store(false)
		if !begun { // what was told before is not heard any more
			begun = true
			v.forget(everything)
			v.purges.begun.Store(v.purges.epoch.Load())
		}
		for _, id := range ids {
			v.forget(id)
		}
		v.catchUp()
	}
}

func (v *Verifier) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.base.Done():
	}
}
