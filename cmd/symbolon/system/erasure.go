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
	Identity symbolon.IdentityID `json:"identity_id,omitempty"`
	User     symbolon.UserID     `json:"user_id,omitempty"`
	AtOry    string              `json:"ory_says,omitempty"`
	Row      symbolon.RowPolicy  `json:"row"`
	Exists   bool                `json:"row_exists"`
	Columns  []string            `json:"columns"` // the columns that anonymise would empty now
	Behind   []*LeftRow          `json:"left_behind,omitempty"`
	Former   symbolon.IdentityID `json:"former_identity_id,omitempty"` // had the user last, and is not erased
	Earlier  *Erasure            `json:"earlier,omitempty"`
}

// PlannedErasureOf converts a plan.
func PlannedErasureOf(p erase.Plan) PlannedErasure {
	out := PlannedErasure{p.Identity, p.User, p.AtOry, p.Row, p.Exists, append([]string{}, p.Columns...), LeftRowsOf(p.Behind), p.Former, nil}
	if p.Earlier != nil {
		out.Earlier = ErasureOf(*p.Earlier)
	}
	return out
}

// LeftRow is the JSON of a row that a move left without an identity.
type LeftRow struct {
	User    symbolon.UserID `json:"user_id"`
	Columns []string        `json:"columns"` // the columns that anonymise would empty now
}

// LeftRowsOf converts the rows that moves left without an identity.
func LeftRowsOf(rows []erase.LeftBehind) (out []*LeftRow) {
	for _, r := range rows {
		out = append(out, &LeftRow{User: r.User, Columns: append([]string{}, r.Columns...)})
	}
	return out
}
