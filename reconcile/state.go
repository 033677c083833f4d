package reconcile

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Phase is a phase of a run.
type Phase string

const (
	Looking   Phase = "looking"   // compares, writes nothing
	Repairing Phase = "repairing" // lists again, and repairs each difference that needs only one reading
	Rebinding Phase = "rebinding" // proves former identities gone and moves their users
	Ending    Phase = "ending"    // proves identities gone and ends their links
	Settling  Phase = "settling"  // compares once more and records the remaining differences
)

// state is everything that a run knows. Its JSON is the checkpoint.
type state struct {
	Version int     `json:"version"`
	Options options `json:"options"`
	Phase   Phase   `json:"phase"`

	// The current walk.
	Began    time.Time           `json:"began"`
	At       symbolon.IdentityID `json:"at,omitempty"`   // identities up to this ID were visited
	Done     bool                `json:"done,omitempty"` // all identities were visited
	Walk     tally               `json:"walk"`
	Ticket   symbolon.Ticket     `json:"ticket,omitempty"`
	Believed bool                `json:"believed,omitempty"` // the walk is complete and its listing plausible
	Again    bool                `json:"again,omitempty"`    // the walk has to start again, see checkpoint

	// The results of the first look, and of the repairs.
	Looked   tally                        `json:"looked"`
	Missing  []absence                    `json:"missing,omitempty"`
	Control  symbolon.IdentityID          `json:"control,omitempty"` // an identity that the ledger knows and Ory has
	Rebind   bool                         `json:"rebind,omitempty"`
	Repaired map[symbolon.FindingKind]int `json:"repaired"`
	Denied   int                          `json:"denied,omitempty"`
	Failed   int                          `json:"failed,omitempty"`
}

// options are the Options that a run keeps when it is resumed.
type options struct {
	Rebind       bool                   `json:"rebind,omitempty"`
	Only         []symbolon.FindingKind `json:"only,omitempty"`
	AllowMissing int                    `json:"allow_missing,omitempty"`
}

// tally holds the counts of a walk.
type tally struct {
	Identities      int `json:"identities"`
	Linked          int `json:"linked"`
	Forgotten       int `json:"forgotten,omitempty"`
	NoBackReference int `json:"no_back_reference,omitempty"`

	Matched int `json:"matched"`          // linked identities that the listing has
	Absent  int `json:"absent,omitempty"` // linked identities that are not in the listing

	// AbsentMarks are the marks of absent identities. ClaimedMarks are the marks of
	// identities whose user is claimed by another identity in the listing. MintedMarks are
	// the marks in ClaimedMarks of identities whose user's ID Symbolon minted.
	AbsentMarks  []uint64 `json:"absent_marks,omitempty"`
	ClaimedMarks []uint64 `json:"claimed_marks,omitempty"`
	MintedMarks  []uint64 `json:"minted_marks,omitempty"`

	Found   map[symbolon.FindingKind]int `json:"found"`
	Met     int                          `json:"met,omitempty"`     // differences, for Progress
	Changes int                          `json:"changes,omitempty"` // findings to be opened or closed
}

// absence is an identity that is not in the listing. It is linked, or on hold, or its
// link has ended and its row was kept.
type absence struct {
	Finding
	Open bool // it has an open finding
	Held bool // it is on hold, so only its findings must be closed
}

const version = 2

// maxKept is the maximum length of Report.Findings and of the lists in a checkpoint.
const maxKept = 10_000

// maxMarks is the maximum length of a list of marks in memory (8 MB). Further absences are
// counted but not explained.
const maxMarks = 1 << 20

func newState(o Options, now time.Time) *state {
	s := &state{Version: version, Options: options{o.Rebind, o.Only, o.AllowMissing}, Repaired: map[symbolon.FindingKind]int{}}
	s.enter(Looking, now)
	return s
}

// enter begins a phase.
func (s *state) enter(p Phase, now time.Time) {
	if s.Phase == Looking {
		s.Looked = s.Walk
		s.Looked.AbsentMarks, s.Looked.ClaimedMarks, s.Looked.MintedMarks = nil, nil, nil
	}
	s.Phase = p
	s.restart(now)
}

// restart begins the walk of a phase.
func (s *state) restart(now time.Time) {
	s.Began, s.At, s.Done, s.Believed, s.Again = now, "", false, false, false
	s.Walk = tally{Found: map[symbolon.FindingKind]int{}}
	if s.Phase == Looking || s.Phase == Settling {
		s.Missing = nil
	}
}

// checkpoint returns the state as JSON. If there are too many marks, it leaves all of them
// out. A run that resumes without them starts the walk again, because without marks the
// listing cannot be checked.
func (s *state) checkpoint() (json.RawMessage, error) {
	c := *s
	w := &c.Walk
	if max(len(w.AbsentMarks), len(w.ClaimedMarks)) > maxKept {
		w.AbsentMarks, w.ClaimedMarks, w.MintedMarks = nil, nil, nil
		c.Again = len(s.Walk.ClaimedMarks) > 0 // only a claim explains an absence, and the marks are not needed without claims
	}
	return json.Marshal(c)
}

func readCheckpoint(raw json.RawMessage, now time.Time) (*state, error) {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil || s.Version != version || s.Walk.Found == nil {
		return nil, fmt.Errorf("this version cannot read the checkpoint, begin a new run: %w", symbolon.ErrConflict)
	}
	if s.Repaired == nil {
		s.Repaired = map[symbolon.FindingKind]int{}
	}
	if s.Again {
		s.restart(now)
	}
	return &s, nil
}

// mark is a 64-bit hash of an identity ID. If two IDs have the same mark, a run may
// overlook one deleted identity; a later run finds it when the other ID is no longer
// claimed. A collision never ends a link, because a link ends only after a proof.
func mark(id symbolon.IdentityID) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, string(id)) // never fails
	return h.Sum64()
}

func addMark(to []uint64, id symbolon.IdentityID) []uint64 {
	if len(to) >= maxMarks {
		return to
	}
	return append(to, mark(id))
}

// both counts the marks that are in both lists.
func both(a, b []uint64) (n int) {
	a, b = sorted(a), sorted(b)
	for _, m := range a {
		if _, found := slices.BinarySearch(b, m); found {
			n++
		}
	}
	return n
}

func sorted(marks []uint64) []uint64 {
	out := slices.Clone(marks)
	slices.Sort(out)
	return slices.Compact(out)
}

// report returns the state as a Report.
func (s *state) report() Report {
	t := s.Walk
	if s.Phase != Looking && s.Phase != Settling {
		t = s.Looked
	}
	return Report{Identities: t.Identities, Linked: t.Linked, Forgotten: t.Forgotten, NoBackReference: t.NoBackReference,
		Found: maps.Clone(t.Found), Repaired: maps.Clone(s.Repaired), Denied: s.Denied, Failed: s.Failed}
}
