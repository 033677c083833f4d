package decide

import (
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// decideBury is pure, as decide is. The row that follows the policy is the one that
// the ledger and its own identity column agree on; any other is the application's to
// settle.
func End(s symbolon.Reading, h symbolon.Evidence, state symbolon.LinkState, row symbolon.RowPolicy, why string) symbolon.Plan {
	plan := symbolon.Plan{Action: symbolon.End, State: state, Row: row, Why: why}
	user := endedUser(h)
	plan.User = user
	own := h.Row != nil && h.Row.ID == user && (h.Row.Linked == "" || h.Row.Linked == s.Identity.ID)
	if !own {
		plan.Row = "" // there is no row, or it is not surely this identity's
	}
	before := symbolon.LinkState("")
	if h.Link != nil {
		before = h.Link.State
	}
	if before == symbolon.Erased {
		plan.State = symbolon.Erased // is never less than that
	}
	if plan.State == before && plan.Row == "" && own {
		return symbolon.Plan{Action: symbolon.Keep, User: user} // without a row of its own a store still closes what was found of it
	}
	if missing := h.Row == nil && h.User == nil; user != "" && (own || missing) && (row.Ends() || plan.State == symbolon.Erased) {
		plan.Retire = user
	}
	return plan
}

// buried is the user whose bond ends. What an entry on hold remembers of a former
// user is none: it may be another's by now.
func endedUser(h symbolon.Evidence) symbolon.UserID {
	if h.Link != nil && h.Link.State != symbolon.OnHold && h.Link.User != "" {
		return h.Link.User
	}
	if h.Row != nil {
		return h.Row.ID // a hand-written hook's row: that is the link
	}
	return ""
}

// decideEnded judges an identity whose bond is over. One that was proved gone and is
// there again, after a backup was restored, is the operator's to settle.
func decideEnded(s symbolon.Reading, h symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	id, link := s.Identity.ID, h.Link
	if link.State == symbolon.Erased {
		return symbolon.Plan{Action: symbolon.Deny, User: link.User, Reason: symbolon.UserGone, Err: &symbolon.DenyError{Identity: id, Finding: symbolon.UserGone,
			Detail: "the person was erased", Err: symbolon.ErrUserGone}}, Question{}
	}
	if !s.Admin && p.Admin {
		return symbolon.Plan{}, Question{Identity: true}
	}
	detail := "Ory had lost the identity, which was proved, and has it again; bind gives it a user"
	if link.User != "" {
		detail = fmt.Sprintf("Ory had lost the identity of user %s, which was proved, and has it again; bind gives it the user again", link.User)
	}
	return symbolon.Plan{Action: symbolon.Deny, User: link.User, Reason: symbolon.IdentityReturned,
		Findings: []symbolon.Finding{{Kind: symbolon.IdentityReturned, Identity: id, User: link.User, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: id, Finding: symbolon.IdentityReturned, Detail: detail, Err: symbolon.ErrOnHold}}, Question{}
}

func Rebind(s symbolon.Reading, h symbolon.Evidence, gone symbolon.IdentityID, p Policy) (symbolon.Plan, error) {
	id := s.Identity.ID
	if rebound(s, h, p) {
		return symbolon.Plan{Action: symbolon.Keep, User: h.Link.User}, nil
	}
	if h.Row != nil || h.Link != nil && h.Link.State != symbolon.OnHold {
		user := symbolon.UserID("")
		if h.Link != nil {
			user = h.Link.User
		}
		return symbolon.Plan{}, &symbolon.ConflictError{Identity: id, User: user, Reason: "the identity has a user, or had one"}
	}
	for at, user := range claimsOf(s.Identity, p.Key).users() {
		known := claimedAt(h, at)
		if user == "" || known.Row == nil || known.Retired || known.Owner() != gone {
			continue
		}
		if known.Linked != "" && known.Linked != gone {
			continue
		}
		return symbolon.Plan{Action: symbolon.Attach, User: user, Release: gone, ReleaseGone: true, BackReference: backReference(s, user, p),
			Why: fmt.Sprintf("it claims the user of identity %s, which is proved gone", gone)}, nil
	}
	return symbolon.Plan{}, &symbolon.ConflictError{Identity: id, User: "", Reason: fmt.Sprintf("it claims no user of identity %s", gone)}
}

// rebound says that the identity has the user that it claims, as after an earlier call.
func rebound(s symbolon.Reading, h symbolon.Evidence, p Policy) bool {
	return h.Link != nil && h.Link.State == symbolon.Linked && h.Row != nil && h.Row.ID == h.Link.User &&
		slices.Contains(claimsOf(s.Identity, p.Key).users(), h.Link.User)
}
