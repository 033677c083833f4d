package session

import (
	"context"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// Broadcast carries purges between the replicas of a program. sqlstore.Replicas is one.
type Broadcast interface {
	// Tell sends these identities and sessions to every replica within a second. The
	// sender may receive them too, and any replica may receive them more than once. It
	// may be called by many goroutines at once.
	Tell(ctx context.Context, ids []string) error

	// Hear returns what was sent since the call before, as soon as there is something,
	// or nothing after a while. The first call returns at once, with what was sent in
	// the two hours before, because Ory's tokens outlive a restart. One goroutine calls
	// it again and again; an error loses nothing.
	Hear(ctx context.Context) (ids []string, err error)
}

// Purge forgets what Ory said of an identity's sessions, and has every question that is
// under way asked again. After it has returned no older answer lets anybody in here, and a
// second later on no other replica.
//
// A tokenised session is an older answer that the client carries about. After a purge its
// session is read at Ory's admin API. Without an admin API, or without a sid in the token,
// a token that was issued before the purge is refused.
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
	v.purge(string(id)) // also after an error: Ory may have done it all the same
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
	if v.Broadcast != nil && !v.purgesOut.put(id, struct{}{}) {
		v.purgesOut.only(everything, struct{}{})
	}
}

func (v *Verifier) forget(id string) { v.purges.add(id, v.mono(), v.memorable()) }

// sendPurges is the outbox's way to Broadcast.
func (v *Verifier) sendPurges(ctx context.Context, batch map[string]struct{}) error {
	ids := make([]string, 0, len(batch))
	for id := range batch {
		ids = append(ids, id)
	}
	return v.Broadcast.Tell(ctx, ids)
}

// listenPause lies between calls that fail.
const listenPause = 250 * time.Millisecond

// listen applies the purges of other replicas until the verifier is closed.
func (v *Verifier) listen() {
	begun := false
	for v.base.Err() == nil {
		ids, err := v.Broadcast.Hear(v.base)
		if err != nil {
			if v.base.Err() == nil {
				v.broadcastDown.Store(true)
				v.complain(&v.quietBroadcast, "other replicas cannot be heard: what they revoke is seen here later", err)
				wait.Until(v.base.Done(), listenPause)
			}
			continue
		}
		v.broadcastDown.Store(false)
		if !begun { // purges from before this moment do not arrive any more
			begun = true
			v.forget(everything)
			v.purges.begun.Store(v.purges.epoch.Load())
		}
		for _, id := range ids {
			v.forget(id)
		}
		v.markReplayed()
	}
}
