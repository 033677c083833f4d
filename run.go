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

// FindingsQuery says which open findings are meant. They come in the order of
// identity and kind.
type FindingsQuery struct {
	Project string
	Kind    FindingKind // empty: all

	// After and AfterKind are the last finding of the page before; with AfterKind
	// empty everything of the identity After is behind it.
	After     IdentityID
	AfterKind FindingKind

	Upto  IdentityID // the last identity; empty: to the end
	Limit int        // at least 1
}
