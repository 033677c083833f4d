package session

import (
	"context"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// Broadcast carries purges between the replicas of a program. sqlstore.Replicas implements
// it.
type Broadcast interface {
	// Tell sends these identities and sessions to every replica within a second. The
	// sender may receive them too, and any replica may receive them more than once. It
	// may be called by many goroutines at once.
	Tell(ctx context.Context, ids []string) error

	// Hear returns the IDs that were sent since the previous call. It waits until there is
	// an ID, and returns an empty list after at most two seconds. A call that takes three
	// seconds is canceled, and the broadcast counts as down. The first call returns at
	// once, with the IDs of the last two hours, because Ory's tokens outlive a restart. One
	// goroutine calls Hear in a loop. After an error the next call returns the missed IDs.
	Hear(ctx context.Context) (ids []string, err error)
}

// Purge drops the cached answers of Ory about an identity's sessions, and repeats every
// question that is under way. After Purge has returned, no older answer lets anybody in
// here. A second later this holds on every other replica, too.
//
// A tokenised session is an older answer that the client keeps. After a purge its session
// is read at Ory's admin API. Without an admin API, or without a sid in the token, a token
// that was issued before the purge is refused.
func (v *Verifier) Purge(id symbolon.IdentityID) { v.purge(string(id)) }

// PurgeSession is Purge for one session.
func (v *Verifier) PurgeSession(id string) { v.purge(id) }

// Revoke revokes all sessions of an identity at Ory and purges them. Errors:
// symbolon.ErrNoAdmin; symbolon.ErrUnavailable: it is not known whether Ory revoked them.
func (v *Verifier) Revoke(ctx context.Context, id symbolon.IdentityID) error {
	if err := v.Check(); err != nil {
		return err
	}
	err := v.ory.RevokeSessions(ctx, id)
	v.purge(string(id)) // also after an error, because Ory may have revoked them
	return err
}

// RevokeSession is Revoke for one session. The error is symbolon.ErrNotFound if Ory does
// not have the session.
func (v *Verifier) RevokeSession(ctx context.Context, id string) error {
	if err := v.Check(); err != nil {
		return err
	}
	err := v.ory.RevokeSession(ctx, id)
	v.purge(id)
	return err
}

// purge drops the answers about an identity or a session, on every replica. The Linker
// calls it when a bond has changed.
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

// forget does the same as purge, but only in this process.
func (v *Verifier) forget(id string) { v.purges.add(id, v.mono(), v.purgeAge()) }

// listenPause is the pause after a failed call of Hear.
const listenPause = 250 * time.Millisecond

// hear calls Hear. The broadcast counts as down as soon as the call has taken too long, even
// if the call ignores its deadline.
func (v *Verifier) hear() ([]string, error) {
	ctx, cancel := context.WithTimeout(v.base, hearTimeout)
	defer cancel()
	late := context.AfterFunc(ctx, v.goDown)
	defer late()
	return v.Broadcast.Hear(ctx)
}

// goDown marks the broadcast as down.
func (v *Verifier) goDown() {
	if !v.broadcastDown.Load() {
		v.downSince.Store(v.mono())
		v.broadcastDown.Store(true)
	}
}

// hearTimeout is the limit of a call of Hear. A connection that has fallen silent would
// otherwise hold the call, and nobody would know that purges are missed.
const hearTimeout = 3 * time.Second

// listen applies the purges of other replicas until the verifier is closed.
func (v *Verifier) listen() {
	begun := false
	for v.base.Err() == nil {
		ids, err := v.hear()
		if err != nil {
			if v.base.Err() == nil {
				v.goDown()
				v.warnEvery(outageWarning, &v.warnedBroadcast, "purges of other replicas do not arrive: sessions that they revoke are refused here only after max_stale", err)
				wait.Until(v.base.Done(), listenPause)
			}
			continue
		}
		v.broadcastDown.Store(false)
		if v.warnedBroadcast.Swap(0) != 0 {
			v.log().Info("purges of other replicas arrive again")
		}
		if !begun { // an answer from before this moment may have missed a purge
			v.forget(everything)
			v.purges.begun.Store(v.purges.epoch.Load())
		}
		for _, id := range ids {
			v.forget(id)
		}
		if !begun {
			begun = true
			close(v.replayed)
		}
	}
}
