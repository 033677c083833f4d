package symbolon

import (
	"encoding/json"
	"time"
)

// RunState is how a [Run] stands.
type RunState string

const (
	RunGoing  RunState = "running" // or it died: then its lease has ended
	RunDone   RunState = "done"
	RunFailed RunState = "failed" // it was given up, and is never taken up again
)

// Run is long work that is written down, so that whoever comes after a crash goes on
// where it was.
type Run struct {
	ID, Project, Kind string
	State             RunState
	Detail            string // of one that failed: why, in one sentence

	// Checkpoint says how far it is, in words of the kind's own. Empty: nowhere.
	Checkpoint json.RawMessage

	// LeaseUntil keeps two from working on one run. A lease that has ended may be
	// taken by anybody.
	LeaseUntil time.Time

	StartedAt, UpdatedAt, EndedAt time.Time
}
