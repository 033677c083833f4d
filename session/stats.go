package session

import "sync/atomic"

// counters are read by Stats.
type counters struct{ asked, renewed, graced, unknown atomic.Uint64 }

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
}

// Stats may be called at any time.
func (v *Verifier) Stats() Stats {
	if v.Check() != nil {
		return Stats{}
	}
	return Stats{Sessions: v.cache.EstimatedSize(), Bytes: v.cache.WeightedSize(),
		Asked: v.count.asked.Load(), Renewed: v.count.renewed.Load(), Graced: v.count.graced.Load(), Unknown: v.count.unknown.Load(),
		Stopped: v.breaker.open.Load(), Deaf: v.deaf.Load(), Unwritten: v.notes.waiting(), Untold: v.told.waiting()}
}
