package reconcile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Phase is what a run is at.
type Phase string

const (
	Looking   Phase = "looking"   // compares, writes nothing
	Mending   Phase = "mending"   // lists again and mends what one reading mends
	Rebinding Phase = "rebinding" // proves former identities gone and hands their users on
	Burying   Phase = "burying"   // proves identities gone and ends their bonds
	Settling  Phase = "settling"  // compares once more and records what is left
)

// state is all that a run knows, and its checkpoint.
type state struct {
	Version int     `json:"version"`
	Options options `json:"options"`
	Phase   Phase   `json:"phase"`

	// Of the walk that is under way.
	Began  time.Time           `json:"began"`
	At     symbolon.IdentityID `json:"at,omitempty"`   // everybody up to here was visited
	Done   bool                `json:"done,omitempty"` // everybody was
	Walk   tally               `json:"walk"`
	Ticket symbolon.Ticket     `json:"ticket,omitempty"`
	Judged bool                `json:"judged,omitempty"` // the walk is over and believed
	Again  bool                `json:"again,omitempty"`  // it cannot go on where it was, see checkpoint

	// What the first look found out.
	Looked  tally                        `json:"looked"`
	Missing []absence                    `json:"missing,omitempty"`
	Control symbolon.IdentityID          `json:"control,omitempty"` // it is known, and Ory has it
	Rebind  bool                         `json:"rebind,omitempty"`
	Mended  map[symbolon.FindingKind]int `json:"mended"`
	Denied  int                          `json:"denied,omitempty"`
	Failed  int                          `json:"failed,omitempty"`
}

// options are those of Options that a run goes on with after a crash.
type options struct {
	Rebind       bool                   `json:"rebind,omitempty"`
	Only         []symbolon.FindingKind `json:"only,omitempty"`
	AllowMissing int                    `json:"allow_missing,omitempty"`
}

// tally is what a walk counted.
type tally struct {
	Identities      int `json:"identities"`
	Linked          int `json:"linked"`
	Forgotten       int `json:"forgotten,omitempty"`
	NoBackReference int `json:"no_back_reference,omitempty"`

	Matched int `json:"matched"`          // linked identities that the listing has
	Absent  int `json:"absent,omitempty"` // and those that it has not

	// The same as marks: of the absent, of those whose user another identity in the
	// listing claims, and of the latter with an ID that Symbolon minted.
	AbsentMarks  []uint64 `json:"absent_marks,omitempty"`
	ClaimedMarks []uint64 `json:"claimed_marks,omitempty"`
	MintedMarks  []uint64 `json:"minted_marks,omitempty"`

	Found   map[symbolon.FindingKind]int `json:"found"`
	Met     int                          `json:"met,omitempty"`     // differences, for whoever watches
	Changes int                          `json:"changes,omitempty"` // findings to be opened or closed
}

// absence is an identity that the listing does not have: a linked one, one on hold, or
// one that is over and whose row was kept.
type absence struct {
	Finding
	Open bool // as a finding
	Held bool // and all that is left to do is to close its findings
}

const version = 2

// keep bounds Report.Findings, and what a checkpoint remembers.
const keep = 10_000

// maxMarks bounds each list of marks in memory: 8 MB. Beyond it absences are counted
// and no longer explained.
const maxMarks = 1 << 20

func newState(o Options, now time.Time) *state {
	s := &state{Version: version, Options: options{o.Rebind, o.Only, o.AllowMissing}, Mended: map[symbolon.FindingKind]int{}}
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
	s.Began, s.At, s.Done, s.Judged, s.Again = now, "", false, false, false
	s.Walk = tally{Found: map[symbolon.FindingKind]int{}}
	if s.Phase == Looking || s.Phase == Settling {
		s.Missing = nil
	}
}

// checkpoint is the state as it is written down. Where the marks are too many for that
// the walk begins anew after a crash; without them it could not be judged.
func (s *state) checkpoint() (json.RawMessage, error) {
	c := *s
	w := &c.Walk
	if max(len(w.AbsentMarks), len(w.ClaimedMarks)) > keep {
		w.AbsentMarks, w.ClaimedMarks, w.MintedMarks = nil, nil, nil
		c.Again = len(s.Walk.ClaimedMarks) > 0 // else nothing would explain the absences anyway
	}
	return json.Marshal(c)
}

func readCheckpoint(raw json.RawMessage, now time.Time) (*state, error) {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil || s.Version != version || s.Walk.Found == nil {
		return nil, fmt.Errorf("the checkpoint is not one of this version: begin a new run: %w", symbolon.ErrConflict)
	}
	if s.Mended == nil {
		s.Mended = map[symbolon.FindingKind]int{}
	}
	if s.Again {
		s.restart(now)
	}
	return &s, nil
}

// mark is an identity in eight bytes. Two of one mark are taken for one: then somebody
// who is gone is looked for in a later run.
func mark(id symbolon.IdentityID) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * prime
	}
	return h
}

func addMark(to []uint64, id symbolon.IdentityID) []uint64 {
	if len(to) >= maxMarks {
		return to
	}
	return append(to, mark(id))
}

// both counts the marks that two lists share.
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

// report is what the state says.
func (s *state) report() Report {
	t := s.Walk
	if s.Phase != Looking && s.Phase != Settling {
		t = s.Looked
	}
	return Report{Identities: t.Identities, Linked: t.Linked, Forgotten: t.Forgotten, NoBackReference: t.NoBackReference,
		Found: maps.Clone(t.Found), Mended: maps.Clone(s.Mended), Denied: s.Denied, Failed: s.Failed}
}
