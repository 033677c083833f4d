// Package decide decides which user an identity has. It does no I/O: the same reading of
// Ory, the same evidence and the same policy give the same plan. If something must be found
// out first, it returns a [Question], which the caller answers outside of every
// transaction. Then a [symbolon.Store] carries the plan out.
//
// [Identity] weighs the evidence in this order:
//
//  1. the ledger's link, if the application's row agrees with it. A further identity has the
//     user that the operator named, if the ledger and the row agree about that user's primary
//     identity;
//  2. the row whose identity column holds this identity, which is as good as a link;
//  3. the invite with which the identity was signed up, if its user has no identity and is not
//     denied;
//  4. with adopt.verified_email, if exactly one user has one of the identity's addresses, and
//     this user has no identity: (a) the user of the identity's voucher; (b) without a
//     voucher the user with the address, if both sides have verified it; (c) otherwise
//     nobody, and the identity is held;
//     With on_return: the user of a deleted identity that had the same verified address; see
//     [OnReturn]. A voucher comes before it, too;
//  5. an ID in the metadata, if Symbolon minted it or the reserve hook drew it from the
//     database, and if no user has or had it: a new user gets this ID;
//  6. the voucher of a user without an identity, if step 4 did not apply;
//  7. a fresh user. Each claim that was not followed becomes a finding.
//
// Before step 6 the identity is read over the admin API, because only that API shows a
// voucher. Before step 7 an identity is held if it claims the user of an identity that Ory no
// longer has, or if the operator's adoption found it ambiguous. Until the start of the project
// is settled, an identity that is older than the ledger waits before step 7; see [symbolon.Start].
package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// Policy is what a decision needs besides the evidence: the operator's choices, and the
// answers to the questions of earlier rounds.
type Policy struct {
	Minter        *mint.Minter
	Key           string // the key below metadata_public that holds the back-reference
	NewID         symbolon.NewID
	Fresh         func() symbolon.UserID // returns a new ID, the same in each call; for ByMint, ByProgram and templates only
	Admin         bool                   // Ory's admin API can be asked
	VerifiedEmail bool                   // adopt.verified_email
	Recreate      bool                   // on_user_deleted: recreate
	When          When                   // which identities get a user
	OnReturn      OnReturn               // on_return; empty: ReturnNew

	// Gone answers Question.Gone for each identity that was asked about.
	Gone map[symbolon.IdentityID]bool

	// Start answers Question.Start. A zero Start is not known yet. nil: the start is settled.
	Start *symbolon.Start

	// Answer answers Question.Create. It is nil unless the application makes its users.
	Answer *Answer
}

// Question says what must be found out before the decision. The zero Question asks nothing;
// then the plan that is returned with it is the decision.
type Question struct {
	Identity bool                // read the identity over Ory's admin API
	Gone     symbolon.IdentityID // find out whether Ory still has this other identity
	Create   bool                // have the application make its user
	Start    bool                // find out whether the start of the project is settled
	Ticket   bool                // read the identity with a ticket, because the plan writes columns of an existing row
}

// None reports whether nothing is asked.
func (q Question) None() bool { return q == Question{} }

func ask(q Question) (symbolon.Plan, Question) { return symbolon.Plan{}, q }

func decided(p symbolon.Plan) (symbolon.Plan, Question) { return p, Question{} }

// Identity decides which user an identity has. The package comment has the order of
// evidence. Odd metadata never keeps an identity from getting a user, and never gives it
// another person's user.
func Identity(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	if e.Link != nil {
		switch e.Link.State {
		case symbolon.Linked:
			return linked(r, e, p)
		case symbolon.Also:
			return decided(further(r, e))
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
		return decided(hold(r, symbolon.Moved, "the operator bound its user to another identity; symbolon bind can give this identity a user again"))
	}
	return byClaims(r, e, p)
}

// linked decides about a bond in the ledger. Its user is handed out only if the
// application's row agrees with the bond.
func linked(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	link := e.Link
	switch {
	case e.User == nil && e.Row == nil:
		return userGone(r, e, p, finding(r, symbolon.UserGone, link.User,
			fmt.Sprintf("user %s has no row any more, and Symbolon was not told of the deletion", link.User)))
	case e.User == nil || e.User.Identity != r.Identity.ID:
		return decided(disagree(r, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, but that user's row does not hold the identity; decide with symbolon bind", link.User)))
	case e.Row != nil && e.Row.ID != link.User:
		return decided(disagree(r, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, but the row of user %s holds the identity; decide with symbolon bind", link.User, e.Row.ID)))
	case r.Ticket > link.Ticket:
		return decided(symbolon.Plan{Action: symbolon.Update, User: link.User, BackReference: backReference(r, link.User, p), Why: "a newer reading", Err: byRowItself(r, e.User)})
	case len(r.Identity.Transient) > 0:
		return decided(symbolon.Plan{Action: symbolon.Update, User: link.User, Why: "the values of the sign-up form", Err: byRowItself(r, e.User)})
	}
	return decided(symbolon.Plan{Action: symbolon.Keep, User: link.User, Err: byRowItself(r, e.User)})
}

// userGone follows on_user_deleted. There are no findings if the application itself said
// that it deletes the user.
func userGone(r symbolon.Reading, e symbolon.Evidence, p Policy, findings ...symbolon.Finding) (symbolon.Plan, Question) {
	user := e.Link.User
	if p.Recreate && p.NewID != symbolon.ByIdentity && p.When.Admits(r.Identity) {
		return create(r, e, p, symbolon.Plan{User: freshID(r, p), Retire: user, Findings: findings,
			Why: fmt.Sprintf("user %s was deleted; on_user_deleted is recreate", user)})
	}
	return decided(deny(r, user, symbolon.UserGone, symbolon.ErrUserGone, fmt.Sprintf("user %s was deleted", user), findings...))
}

// byRow links the user whose row holds this identity's ID.
func byRow(r symbolon.Reading, e symbolon.Evidence) symbolon.Plan {
	row := e.Row
	if row.Linked != "" && row.Linked != r.Identity.ID {
		return disagree(r, row.ID, fmt.Sprintf(
			"the row of user %s holds this identity, but the ledger binds that user to identity %s; decide with symbolon bind", row.ID, row.Linked))
	}
	return symbolon.Plan{Action: symbolon.Attach, User: row.ID, Why: "the application's row holds the identity's ID", Err: byRowItself(r, row)}
}
