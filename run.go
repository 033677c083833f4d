package symbolon

import (
	"encoding/json"
	"time"
)

// RunState is the state of a [Run].
type RunState string

const (
	RunGoing  RunState = "running" // a process works on it, or the process died and its lease has ended
	RunDone   RunState = "done"
	RunFailed RunState = "failed" // it was given up and is never continued
)

// Run is the record of long work, which a later process continues after a crash.
type Run struct {
	ID, Project, Kind string
	State             RunState
	Detail            string // why it failed, in one sentence

	// Checkpoint says how far the run is, in a form that its Kind defines. Empty: it is at
	// the start.
	Checkpoint json.RawMessage

	// LeaseUntil keeps two processes from working on one run. It is a time of the
	// database's clock. After the lease has ended any process may continue the run.
	LeaseUntil time.Time

	StartedAt, UpdatedAt, EndedAt time.Time
}

// ErasureStep is the next step of an [Erasure]. Package erase names the steps before the last.
type ErasureStep string

const EraseDone ErasureStep = "done" // every step was done

// Erasure is the record of one erasure: the intent, which is written before anything is
// changed; the next step; and the evidence, which is kept. It holds only the two IDs of the
// person. Package erase carries out the erasure.
type Erasure struct {
	ID       string
	Project  string
	Identity IdentityID // empty: the user has none
	User     UserID     // empty: the identity has none
	Row      RowPolicy  // AnonymiseRow or DeleteRow
	Why      string     // the operator's reason, which is kept

	Step     ErasureStep // the next step
	Evidence []ErasureNote

	Attempts  int    // failed attempts at Step
	LastError string // of the last failed attempt

	RequestedAt time.Time
	UpdatedAt   time.Time
	DoneAt      time.Time // zero while a step is left
}

// Done reports whether no step is left.
func (e Erasure) Done() bool { return !e.DoneAt.IsZero() }

// ErasureNote is the evidence of one step.
type ErasureNote struct {
	Step    ErasureStep    `json:"step"`
	At      time.Time      `json:"at"`
	Outcome string         `json:"outcome"`          // one sentence
	Counts  map[string]int `json:"counts,omitempty"` // the numbers of events, findings and other records that were cleared
	Tries   int            `json:"tries"`            // attempts, the successful one included
}
