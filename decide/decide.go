// Package decide says which user an identity has. It is pure: the same reading of Ory,
// the same evidence and the same policy give the same plan. A plan is carried out by a
// [symbolon.Store]; a [Question] is asked first, outside of every transaction.
//
// [Identity] weighs the evidence in this order:
//
//  1. the ledger's link, if the application's row agrees with it;
//  2. a row whose identity column holds this identity counts as the link;
//  3. where the policy trusts verified e-mail: a voucher, and then the one row that has
//     the identity's address, verified on both sides. An unverified match is held;
//  4. an ID in the metadata that Symbolon minted and no user has: a user is made with it;
//  5. a voucher for a user that is unlinked;
//  6. a fresh user. Each claim that was not followed becomes a finding.
//
// Before step 6 an identity with a claim is read over the admin API. If it claims the user
// of an identity that Ory no longer has, it is held.
package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// Policy is what a decision needs beside the evidence: the operator's choices, and the
// answers to the questions of earlier rounds.
type Policy struct {
	Minter        *mint.Minter
	Key           string // the key below metadata_public that holds the back-reference
	NewID         symbolon.NewID
	Fresh         symbolon.UserID // a newly minted ID, used where the evidence names no user
	Admin         bool            // Ory's admin API can be asked
	VerifiedEmail bool            // adopt.verified_email
	Recreate      bool            // on_user_deleted: recreate

	// Gone answers Question.Gone for each identity that was asked about.
	Gone map[symbolon.IdentityID]bool

	// Answer answers Question.Create. It is nil unless the application makes its users.
	Answer *Answer
}

// Question is what has to be known before a decision can be taken. The zero Question
// asks nothing: then the plan beside it is the decision.
type Question struct {
	Identity bool                // read the identity over Ory's admin API
	Gone     symbolon.IdentityID // find out whether Ory still has this other identity
	Create   bool                // have the application make its user
}

// None reports whether nothing is asked.
func (q Question) None() bool { return q == Question{} }

func ask(q Question) (symbolon.Plan, Question) { return symbolon.Plan{}, q }

func decided(p symbolon.Plan) (symbolon.Plan, Question) { return p, Question{} }

// Identity decides which user an identity has. The package comment has the order of
// evidence. Odd metadata never keeps an identity from getting a user, and never gives
// it another person's.
func Identity(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	if e.Link != nil {
		switch e.Link.State {
		case symbolon.Linked:
			return linked(r, e, p)
		case symbolon.Forgotten:
			return userGone(r, e, p)
		case symbolon.Gone, symbolon.Erased:
			return ended(r, e, p)
		}
	}
	if e.Row != nil {
		return decided(byRow(r, e))
	}
	if e.Link != nil && e.Link.Reason == symbolon.Moved {
		return decided(hold(r, symbolon.Moved, "the operator bound its user to another identity; bind gives it one again"))
	}
	return byClaims(r, e, p)
}

// linked decides about a bond that the ledger holds. The application's row has the last
// word on whether its user may still be handed out.
func linked(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	link := e.Link
	switch {
	case e.User == nil && e.Row == nil:
		return userGone(r, e, p, finding(r, symbolon.UserGone, link.User,
			fmt.Sprintf("user %s has no row any more, and Forget was not called", link.User)))
	case e.User == nil || e.User.Identity != r.Identity.ID:
		return decided(disagree(r, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, whose identity column does not hold it; bind settles it", link.User)))
	case e.Row != nil && e.Row.ID != link.User:
		return decided(disagree(r, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, but the row of user %s holds it; bind settles it", link.User, e.Row.ID)))
	case r.Ticket > link.Ticket:
		return decided(symbolon.Plan{Action: symbolon.Update, User: link.User, BackReference: backReference(r, link.User, p), Why: "a newer reading"})
	}
	return decided(symbolon.Plan{Action: symbolon.Keep, User: link.User})
}

// userGone follows on_user_deleted. There are no findings if the application itself said
// that it deletes the user.
func userGone(r symbolon.Reading, e symbolon.Evidence, p Policy, findings ...symbolon.Finding) (symbolon.Plan, Question) {
	user := e.Link.User
	if p.Recreate && p.NewID != symbolon.ByIdentity {
		return create(r, e, p, symbolon.Plan{User: freshID(r, p), Retire: user, Findings: findings,
			Why: fmt.Sprintf("user %s was deleted; on_user_deleted is recreate", user)})
	}
	return decided(deny(r, user, symbolon.UserGone, symbolon.ErrUserGone, fmt.Sprintf("user %s was deleted", user), findings...))
}

// byRow follows the application's word: a row holds this identity's ID.
func byRow(r symbolon.Reading, e symbolon.Evidence) symbolon.Plan {
	row := e.Row
	if row.Linked != "" && row.Linked != r.Identity.ID {
		return disagree(r, row.ID, fmt.Sprintf(
			"the row of user %s holds this identity, but the ledger binds the user to identity %s; bind settles it", row.ID, row.Linked))
	}
	return symbolon.Plan{Action: symbolon.Attach, User: row.ID, Why: "the application's row holds the identity's ID"}
}
