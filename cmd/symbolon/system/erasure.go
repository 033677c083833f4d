package system

import (
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
)

// Erasures returns the engine of erasures.
func (s *System) Erasures() *erase.Erasures {
	return &erase.Erasures{Linker: s.Linker, Ory: s.Ory, Record: s.Store, Users: s.Store, Log: s.Linker.Log}
}

// Erasure is the JSON of an erasure, on the command line and in the admin API.
type Erasure struct {
	ID          string                 `json:"id"`
	Identity    symbolon.IdentityID    `json:"identity_id,omitempty"`
	User        symbolon.UserID        `json:"user_id,omitempty"`
	Row         symbolon.RowPolicy     `json:"row"`
	Why         string                 `json:"why,omitempty"`
	Done        bool                   `json:"done"`
	Step        symbolon.ErasureStep   `json:"step"` // the next one
	RequestedAt time.Time              `json:"requested_at"`
	DoneAt      *time.Time             `json:"done_at,omitempty"`
	Attempts    int                    `json:"attempts,omitempty"` // failed attempts at this step
	LastError   string                 `json:"last_error,omitempty"`
	Evidence    []symbolon.ErasureNote `json:"evidence"`
}

// ErasureOf converts an erasure.
func ErasureOf(e symbolon.Erasure) *Erasure {
	out := &Erasure{ID: e.ID, Identity: e.Identity, User: e.User, Row: e.Row, Why: e.Why, Done: e.Done(), Step: e.Step,
		RequestedAt: e.RequestedAt, Attempts: e.Attempts, LastError: e.LastError, Evidence: e.Evidence}
	if out.Evidence == nil {
		out.Evidence = []symbolon.ErasureNote{}
	}
	if e.Done() {
		out.DoneAt = &e.DoneAt
	}
	return out
}

// PlannedErasure is the JSON of a dry run, on the command line and in the admin API.
type PlannedErasure struct {
	Identity symbolon.IdentityID   `json:"identity_id,omitempty"`
	User     symbolon.UserID       `json:"user_id,omitempty"`
	AtOry    string                `json:"ory_says,omitempty"`
	Row      symbolon.RowPolicy    `json:"row"`
	Exists   bool                  `json:"row_exists"`
	Columns  []string              `json:"columns"`                        // the columns that would be emptied now; none if the row is deleted
	Further  []symbolon.IdentityID `json:"further_identity_ids,omitempty"` // are erased, too
	Behind   []*LeftRow            `json:"left_behind,omitempty"`
	Former   symbolon.IdentityID   `json:"former_identity_id,omitempty"` // had the user last, and is not erased
	New      bool                  `json:"new_erasure"`                  // whether an erasure would be started
	Earlier  *Erasure              `json:"earlier,omitempty"`            // the erasure that exists already, if none would be started
}

// PlannedErasureOf converts a plan.
func PlannedErasureOf(p erase.Plan) PlannedErasure {
	out := PlannedErasure{Identity: p.Identity, User: p.User, AtOry: p.AtOry, Row: p.Row, Exists: p.Exists, Columns: append([]string{}, p.Columns...),
		Further: p.Further, Behind: LeftRowsOf(p.Behind), Former: p.Former, New: p.Earlier == nil}
	if p.Earlier != nil {
		out.Earlier = ErasureOf(*p.Earlier)
	}
	if p.Row == symbolon.DeleteRow {
		out.Columns = []string{}
		for _, row := range out.Behind {
			row.Columns = []string{}
		}
	}
	return out
}

// LeftRow is the JSON of a row that a move left without an identity.
type LeftRow struct {
	User    symbolon.UserID `json:"user_id"`
	Columns []string        `json:"columns"` // the columns that anonymise would empty now; none in the plan of an erasure that deletes the row
}

// LeftRowsOf converts the rows that moves left without an identity.
func LeftRowsOf(rows []erase.LeftBehind) (out []*LeftRow) {
	for _, r := range rows {
		out = append(out, &LeftRow{User: r.User, Columns: append([]string{}, r.Columns...)})
	}
	return out
}
