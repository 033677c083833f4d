package symbolon

import (
	"encoding/json"
	"time"
)

// RunState is the state of a [Run].
type RunState string

const (
	RunGoing  RunState = "running" // it runs, or it died and its lease has ended
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

	// LeaseUntil keeps two processes from working on one run. After the lease has ended
	// any process may continue the run.
	LeaseUntil time.Time

	StartedAt, UpdatedAt, EndedAt time.Time
}
