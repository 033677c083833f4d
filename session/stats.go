package session

import "sync/atomic"

// counters are read by Stats.
type counters struct{ asked, renewed, graced, unknown, signatures, refused atomic.Uint64 }

// Stats is what a verifier has done and holds.
type Stats struct {
	Sessions  int    // answers that are remembered
	Bytes     uint64 // that they take up, about
	Asked     uint64 // questions to whoami
	Renewed   uint64 // of them in the background, before an answer grew too old
	Graced    uint64 // answers that counted longer because Ory did not answer
	Unknown   uint64 // questions that ended in "don't know"
	Stopped   bool   // Ory does not answer: one question a second is let through
	Deaf      bool   // what other replicas tell cannot be heard
	Unwritten int    // what Memory has not been told yet
	Untold    int    // purges that other replicas have not been told yet

	Tokens TokenStats
}

// TokenStats is about Ory's tokenised sessions; zero without Verifier.Tokens.
type TokenStats struct {
	Keys       int    // public keys that can be used; 0: none could be read yet
	KeyFaults  uint64 // readings of the keys that failed
	Signatures uint64 // verified, or not: one for each token that is cached
	Refused    uint64 // tokens that let nobody in, those of the application's own among them
}

// Stats may be called at any time.
func (v *Verifier) Stats() Stats {
	if v.Check() != nil {
		return Stats{}
	}
	s := Stats{Sessions: v.cache.EstimatedSize(), Bytes: v.cache.WeightedSize(),
		Asked: v.count.asked.Load(), Renewed: v.count.renewed.Load(), Graced: v.count.graced.Load(), Unknown: v.count.unknown.Load(),
		Stopped: v.breaker.open.Load(), Deaf: v.deaf.Load(), Unwritten: v.notes.waiting(), Untold: v.told.waiting()}
	if v.keys == nil {
		return s
	}
	s.Tokens = TokenStats{KeyFaults: v.keys.faults.Load(), Signatures: v.count.signatures.Load(), Refused: v.count.refused.Load()}
	if set := v.keys.set.Load(); set != nil {
		s.Tokens.Keys = len(set.keys)
	}
	return s
}
