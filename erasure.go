package symbolon

import (
	"time"
)

// ErasureStep is what an [Erasure] has to do next. The steps come in this order.
type ErasureStep string

const (
	EraseDeny     ErasureStep = "deny"     // end the bond: whoever signs in is denied from now on
	EraseSessions ErasureStep = "sessions" // end the identity's sessions at Ory
	EraseIdentity ErasureStep = "identity" // delete the identity at Ory, and read back that it is gone
	EraseRow      ErasureStep = "row"      // anonymise or delete the user's row, and read back that it is so
	EraseScrub    ErasureStep = "scrub"    // clear what Symbolon itself has noted of the person
	EraseDone     ErasureStep = "done"     // nothing is left to do

	// EraseWithdrawn ends an erasure that found another bond than it was asked to end,
	// before it had changed anything: the operator has to say which person is meant.
	EraseWithdrawn ErasureStep = "withdrawn"
)

// Erasure is the record of one erasure: the intent, written before anything is
// changed; how far it is; and the evidence, which stays. It holds nothing about the
// person but the two IDs. Package erase carries it out.
type Erasure struct {
	ID       string
	Project  string
	Identity IdentityID // empty: the user has none
	User     UserID     // empty: the identity has none
	Row      RowPolicy  // AnonymiseRow or DeleteRow
	Why      string     // the operator's words; kept

	Step     ErasureStep // the next one
	Evidence []ErasureNote

	Attempts  int    // at Step, that failed
	LastError string // of the last of them

	RequestedAt time.Time
	UpdatedAt   time.Time
	DoneAt      time.Time // zero while there is something left to do
}

// Done reports whether nothing is left to do.
func (e Erasure) Done() bool { return !e.DoneAt.IsZero() }

// ErasureNote says what a step did, and when it was done.
type ErasureNote struct {
	Step    ErasureStep    `json:"step"`
	At      time.Time      `json:"at"`
	Outcome string         `json:"outcome"`          // one sentence
	Counts  map[string]int `json:"counts,omitempty"` // events, findings and the like that are cleared
	Tries   int            `json:"tries"`            // how many it took; 1 at best
}
