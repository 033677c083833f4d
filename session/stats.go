package session

import "sync/atomic"

// counters are read by Stats.
type counters struct{ asked, renewed, servedStale, unknown, refused atomic.Uint64 }

// Stats describes a verifier: its counters since the start, and its state.
type Stats struct {
	Sessions      int    // answers in the cache
	Bytes         uint64 // their approximate memory
	Asked         uint64 // calls of whoami
	Renewed       uint64 // calls of whoami in the background, before an answer was too old
	ServedStale   uint64 // answers that OutageGrace extended because Ory did not answer
	Unknown       uint64 // calls of whoami that ended in "don't know"
	LimitedKnown  uint64 // calls of whoami that were not made because Ory's rate limit is used up, for credentials that were valid earlier
	LimitedNew    uint64 // the same for all other credentials
	BreakerOpen   bool   // Ory does not answer, and is asked once a second
	BroadcastDown bool   // Broadcast.Hear fails: purges of other replicas arrive late
	MemoryPending int    // sessions that are not yet written to Memory
	PurgesPending int    // purges that are not yet sent to other replicas

	Tokens TokenStats
}

// TokenStats is about Ory's tokenised sessions. It is zero without Verifier.Tokens.
type TokenStats struct {
	Keys       int    // usable public keys; 0: none could be read yet
	KeyFaults  uint64 // failed readings of the keys
	Signatures uint64 // checks of a signature, whatever their result; a token in the cache is not checked again
	Refused    uint64 // refused tokens, including the application's own
}

// Stats may be called at any time.
func (v *Verifier) Stats() Stats {
	if v.Check() != nil {
		return Stats{}
	}
	s := Stats{Sessions: v.cache.EstimatedSize(), Bytes: v.cache.WeightedSize(),
		Asked: v.count.asked.Load(), Renewed: v.count.renewed.Load(), ServedStale: v.count.servedStale.Load(), Unknown: v.count.unknown.Load(),
		BreakerOpen: v.breaker.open.Load(), BroadcastDown: v.broadcastDown.Load(), MemoryPending: v.memoryOut.waiting(), PurgesPending: v.purgesOut.waiting()}
	limited := v.line.Refused()
	s.LimitedKnown, s.LimitedNew = limited.Known, limited.Others
	if v.keys == nil {
		return s
	}
	keys := v.keys.Stats()
	s.Tokens = TokenStats{Keys: keys.Keys, KeyFaults: keys.Faults, Signatures: keys.Signatures, Refused: v.count.refused.Load()}
	return s
}
