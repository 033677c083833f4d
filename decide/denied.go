package decide

import (
	"github.com/symbolon-id/symbolon"
)

// byRowItself is the denial by the application's own row, or nil. The bond stays and its
// columns are written: a denied row is not a missing one.
func byRowItself(r symbolon.Reading, row *symbolon.Row) error {
	if row.Denied == "" {
		return nil
	}
	return &symbolon.DenyError{Identity: r.Identity.ID, Code: row.Denied, Err: symbolon.ErrDenied,
		Detail: "the row of user " + string(row.ID) + " meets the condition users.deny." + row.Denied}
}

// notEligible gives the identity no user and records nothing, so that the next reading decides
// anew.
func notEligible(r symbolon.Reading, p Policy) symbolon.Plan {
	return symbolon.Plan{Action: symbolon.Keep, Err: &symbolon.DenyError{Identity: r.Identity.ID, Err: symbolon.ErrNotEligible,
		Detail: p.When.Refuses(r.Identity)}}
}
