// Package decide says which user an identity has. It is pure: the same reading of Ory,
// the same evidence and the same policy give the same plan. A plan is carried out by a
// [symbolon.Store]; a [Question] is asked first, outside of every transaction.
//
// [Identity] weighs the evidence in this order:
//
//  1. the ledger's link, if the application's row agrees with it;
//  2. a row whose identity column holds this identity: that is the link;
//  3. where the policy trusts verified e-mail: a voucher, and then the one row that has
//     the identity's address, verified on both sides. An unverified match is held;
//  4. an ID in the metadata that Symbolon minted and nobody has: the user is made with it;
//  5. a voucher for a user that is unlinked;
//  6. a fresh user. Each claim that was not followed becomes a finding.
//
// Before 6 an identity that claims anything is read over the admin API. A claim on the
// user of an identity that Ory no longer has is held.
package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// policy is what decide needs beside the evidence: the operator's choices, and
// what was asked at Ory on an earlier round.
type Policy struct {
	Minter        *mint.Minter
	Key           string // the key below metadata_public that holds the back-reference
	NewID         symbolon.NewID
	Fresh         symbolon.UserID // a newly minted ID, used where nothing better is found
	Admin         bool            // Ory's admin API can be asked
	VerifiedEmail bool            // adopt.verified_email
	Recreate      bool            // on_user_deleted: recreate
	Gone          map[symbolon.IdentityID]bool
	Answer        *Answer // by the application; nil unless it makes its users itself
}

// question is what decide has to know before it can decide: from Ory, or from the
// application. The zero question asks nothing: the plan beside it is the decision.
type Question struct {
	Identity bool                // read the identity over the admin API
	Gone     symbolon.IdentityID // is this other identity gone?
	Create   bool                // which user does the application make?
}

func (q Question) None() bool { return q == Question{} }

// decide says which user an identity has. It is pure: the same evidence gives
// the same plan. In this order:
//
//  1. the ledger's link;
//  2. a row whose identity column holds this identity: that is the link;
//  3. a minted ID in the metadata that is nobody's: the user is made with it;
//  4. a voucher for a user that is unlinked;
//  5. a fresh user. A claim that was not followed becomes a finding.
//
// Nobody is denied a user because of odd metadata; and nobody gets another
// person's user because of it.
func Identity(s symbolon.Reading, h symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	if h.Link != nil {
		switch h.Link.State {
		case symbolon.Linked:
			return decideLinked(s, h, p)
		case symbolon.Forgotten:
			return decideGone(s, h, p, nil)
		case symbolon.Gone, symbolon.Erased:
			return decideEnded(s, h, p)
		}
	}
	if h.Row != nil {
		return decideRow(s, h), Question{}
	}
	if h.Link != nil && h.Link.Reason == symbolon.Moved {
		return holdMoved(s), Question{}
	}
	return decideClaims(s, h, p)
}

// decideLinked judges a bond that the ledger holds. The application's row has the
// last word on whether it may still be handed out.
func decideLinked(s symbolon.Reading, h symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	link := h.Link
	switch {
	case h.User == nil && h.Row == nil:
		return decideGone(s, h, p, []symbolon.Finding{{Kind: symbolon.UserGone, Identity: link.Identity, User: link.User,
			Detail: fmt.Sprintf("user %s has no row any more, and Forget was not called", link.User)}})
	case h.User == nil || h.User.Identity != s.Identity.ID:
		return disagree(s, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, whose identity column does not hold it; bind settles it", link.User)), Question{}
	case h.Row != nil && h.Row.ID != link.User:
		return disagree(s, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, but the row of user %s holds it; bind settles it", link.User, h.Row.ID)), Question{}
	case s.Ticket > link.Ticket:
		return symbolon.Plan{Action: symbolon.Update, User: link.User, BackReference: backReference(s, link.User, p), Why: "a newer reading"}, Question{}
	}
	return symbolon.Plan{Action: symbolon.Keep, User: link.User}, Question{}
}

// decideGone follows on_user_deleted. Without a finding where the application
// said itself that it deletes the user.
func decideGone(s symbolon.Reading, h symbolon.Evidence, p Policy, findings []symbolon.Finding) (symbolon.Plan, Question) {
	if p.Recreate && p.NewID != symbolon.ByIdentity {
		return byApplication(s, h, p, symbolon.Plan{Action: symbolon.Create, User: freshID(s, p), Retire: h.Link.User, Findings: findings,
			Why: fmt.Sprintf("user %s was deleted; on_user_deleted is recreate", h.Link.User)})
	}
	return symbolon.Plan{Action: symbolon.Deny, User: h.Link.User, Reason: symbolon.UserGone, Findings: findings, Err: &symbolon.DenyError{Identity: s.Identity.ID,
		Finding: symbolon.UserGone, Detail: fmt.Sprintf("user %s was deleted", h.Link.User), Err: symbolon.ErrUserGone}}, Question{}
}

// decideRow follows the application's word: a row holds this identity's ID.
func decideRow(s symbolon.Reading, h symbolon.Evidence) symbolon.Plan {
	row := h.Row
	if row.Linked != "" && row.Linked != s.Identity.ID {
		return disagree(s, row.ID, fmt.Sprintf(
			"the row of user %s holds this identity, but the ledger binds the user to identity %s; bind settles it", row.ID, row.Linked))
	}
	return symbolon.Plan{Action: symbolon.Attach, User: row.ID, Why: "the application's row holds the identity's ID"}
}

func disagree(s symbolon.Reading, user symbolon.UserID, detail string) symbolon.Plan {
	return symbolon.Plan{Action: symbolon.Deny, User: user, Reason: symbolon.ColumnDisagrees,
		Findings: []symbolon.Finding{{Kind: symbolon.ColumnDisagrees, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: s.Identity.ID, Finding: symbolon.ColumnDisagrees, Detail: detail, Err: symbolon.ErrOnHold}}
}

// decideClaims weighs what the identity's metadata says of an identity that
// nobody here knows yet.
func decideClaims(s symbolon.Reading, h symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	c := claimsOf(s.Identity, p.Key)
	if plan, asked, ok := decideEmail(s, h, p, c); ok {
		return plan, asked
	}
	if plan, ok := decideMinted(s, h, p, c); ok {
		return plan, Question{}
	}
	if plan, ok := decideVoucher(s, h, p, c); ok {
		return plan, Question{}
	}
	if (c.metadata.Present() || c.external.Present()) && !s.Admin && p.Admin {
		return symbolon.Plan{}, Question{Identity: true}
	}
	for at, user := range c.users() {
		other := claimedAt(h, at).Owner()
		if user == "" || other == "" || other == s.Identity.ID || !p.Admin {
			continue
		}
		gone, known := p.Gone[other]
		if !known {
			return symbolon.Plan{}, Question{Gone: other}
		}
		if gone {
			return holdRecreated(s, user, other), Question{}
		}
	}
	return decideFresh(s, h, p, c)
}

// decideMinted makes the user with the ID that Symbolon minted for it: in the
// reserve hook, before the identity existed. A minted ID that is somebody's, or
// was, is a claim like any other.
func decideMinted(s symbolon.Reading, h symbolon.Evidence, p Policy, c claims) (symbolon.Plan, bool) {
	if p.NewID != symbolon.ByMint {
		return symbolon.Plan{}, false
	}
	for at, claim := range []Claim{atMetadata: c.metadata, atExternal: c.external} {
		if claim.User == "" || !p.Minter.Minted(claim.User) {
			continue
		}
		known := claimedAt(h, at)
		if known.Row == nil && known.Linked == "" && !known.Retired {
			return symbolon.Plan{Action: symbolon.Create, User: claim.User, BackReference: backReference(s, claim.User, p),
				Why: "the ID was reserved for it in " + claim.Where}, true
		}
	}
	return symbolon.Plan{}, false
}

// decideVoucher binds the existing user that a voucher names.
func decideVoucher(s symbolon.Reading, h symbolon.Evidence, p Policy, c claims) (symbolon.Plan, bool) {
	if c.voucher.User == "" || !p.Minter.Vouched(c.voucher) {
		return symbolon.Plan{}, false
	}
	known := claimedAt(h, atVoucher)
	unknown := known.Row == nil && p.NewID != symbolon.ByApplication // whose users the store learns of by being told
	if unknown || known.Owner() != "" || known.Linked != "" || known.Retired {
		return symbolon.Plan{}, false
	}
	return symbolon.Plan{Action: symbolon.Attach, User: c.voucher.User, BackReference: backReference(s, c.voucher.User, p), Why: "a voucher names the user"}, true
}

// decideFresh makes a new user and records every claim that was not followed.
// Where such a claim names an existing user it is a conflict, and past
// max(10, 1 % of the users) an hour conflicts are held: that many at once are a
// migration gone wrong, and an operator should say what is meant.
func decideFresh(s symbolon.Reading, h symbolon.Evidence, p Policy, c claims) (symbolon.Plan, Question) {
	plan := symbolon.Plan{Action: symbolon.Create, User: freshID(s, p), Why: "a new person"}
	for at, claim := range []Claim{atMetadata: c.metadata, atExternal: c.external} {
		if p.Answer.Known() && claim.User != "" && claim.User == p.Answer.User {
			continue // it was true
		}
		f, conflict := judgeClaim(s, claim, claimedAt(h, at))
		plan.Conflict = plan.Conflict || conflict
		if f.Kind != "" {
			plan.Findings = append(plan.Findings, f)
		}
	}
	if c.hasVoucher {
		f, conflict := judgeVoucher(s, c.voucher, claimedAt(h, atVoucher), p)
		plan.Conflict = plan.Conflict || conflict
		plan.Findings = append(plan.Findings, f)
	}
	plan.Findings = oneOfAKind(plan.Findings)
	if plan.Conflict {
		plan.Why = "a new person; a claim on an existing user was not followed"
		if wasHeld(h) || h.Conflicts >= max(10, h.Users/100) {
			return holdConflict(s, plan), Question{}
		}
	}
	return byApplication(s, h, p, plan)
}

// judgeClaim says what is wrong with a claim that was not followed.
func judgeClaim(s symbolon.Reading, c Claim, known symbolon.Claimed) (f symbolon.Finding, conflict bool) {
	f = symbolon.Finding{Identity: s.Identity.ID}
	switch {
	case !c.Present():
		return symbolon.Finding{}, false
	case c.Odd != "":
		f.Kind, f.Detail = c.Odd, c.Where+" holds something that cannot be a user's ID; it was left"
	case known.Owner() != "" && known.Owner() != s.Identity.ID:
		f.Kind, f.User = symbolon.ClaimedByOther, c.User
		f.Detail = fmt.Sprintf("%s names user %s, who belongs to identity %s; a fresh user was made", c.Where, c.User, known.Owner())
		return f, true
	case known.Row != nil:
		f.Kind, f.User = symbolon.ForeignBackReference, c.User
		f.Detail = fmt.Sprintf("%s names user %s, who exists but never proved to be this identity's; a fresh user was made", c.Where, c.User)
		return f, true
	case known.Retired:
		f.Kind, f.Detail = symbolon.ForeignBackReference, c.Where+" names a user that was deleted; a fresh user was made"
	case c.Where == "external_id": // the operator's own numbering, and nobody's user
		return symbolon.Finding{}, false
	default:
		f.Kind, f.Detail = symbolon.ForeignBackReference, c.Where+" holds a value that Symbolon did not mint; it was left"
	}
	return f, false
}

func judgeVoucher(s symbolon.Reading, v mint.Voucher, known symbolon.Claimed, p Policy) (f symbolon.Finding, conflict bool) {
	f = symbolon.Finding{Kind: symbolon.VoucherVoid, Identity: s.Identity.ID, User: v.User}
	switch {
	case v.User == "" || !p.Minter.Vouched(v):
		f.User, f.Detail = "", "metadata_admin.symbolon is not a voucher of this project"
	case known.Owner() != "" && known.Owner() != s.Identity.ID:
		f.Kind = symbolon.ClaimedByOther
		f.Detail = fmt.Sprintf("the voucher names user %s, who belongs to identity %s by now; a fresh user was made", v.User, known.Owner())
		return f, true
	default:
		f.Detail = fmt.Sprintf("the voucher names user %s, who does not exist", v.User)
	}
	return f, false
}

func holdRecreated(s symbolon.Reading, user symbolon.UserID, other symbolon.IdentityID) symbolon.Plan {
	detail := fmt.Sprintf("it claims user %s of identity %s, which Ory no longer has; bind settles it", user, other)
	return symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.RecreatedIdentity, Why: detail,
		Findings: []symbolon.Finding{{Kind: symbolon.RecreatedIdentity, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: s.Identity.ID, Finding: symbolon.RecreatedIdentity, Detail: detail, Err: symbolon.ErrOnHold}}
}

func holdConflict(s symbolon.Reading, fresh symbolon.Plan) symbolon.Plan {
	kind := fresh.Findings[0].Kind
	const detail = "too many identities claimed existing users within an hour; bind settles each"
	for i := range fresh.Findings {
		fresh.Findings[i].Detail += " once the hold is settled"
	}
	return symbolon.Plan{Action: symbolon.Hold, Reason: kind, Findings: fresh.Findings, Why: detail,
		Err: &symbolon.DenyError{Identity: s.Identity.ID, Finding: kind, Detail: detail, Err: symbolon.ErrOnHold}}
}

// holdMoved keeps an identity on hold whose user the operator gave to another.
func holdMoved(s symbolon.Reading) symbolon.Plan {
	const detail = "the operator bound its user to another identity; bind gives it one again"
	return symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.Moved, Why: detail,
		Err: &symbolon.DenyError{Identity: s.Identity.ID, Finding: symbolon.Moved, Detail: detail, Err: symbolon.ErrOnHold}}
}

// wasHeld reports whether the identity was put on hold for a conflict before: it
// stays so when the hour is over.
func wasHeld(h symbolon.Evidence) bool {
	if h.Link == nil || h.Link.State != symbolon.OnHold {
		return false
	}
	switch h.Link.Reason {
	case symbolon.ClaimedByOther, symbolon.ForeignBackReference, symbolon.VoucherVoid:
		return true
	}
	return false
}

// freshID is the ID of a user that nobody spoke of before; empty: the database's.
func freshID(s symbolon.Reading, p Policy) symbolon.UserID {
	switch p.NewID {
	case symbolon.ByDatabase, symbolon.ByApplication:
		return ""
	case symbolon.ByIdentity:
		return symbolon.UserID(s.Identity.ID)
	}
	return p.Fresh
}

// backReference returns user if that is what Ory was seen to hold.
func backReference(s symbolon.Reading, user symbolon.UserID, p Policy) string {
	if MetadataClaim(s.Identity.MetadataPublic, p.Key).User == user {
		return string(user)
	}
	return ""
}

// held returns what the store answered for a claim; a store that was not asked
// knows nothing.
func claimedAt(h symbolon.Evidence, at int) symbolon.Claimed {
	if at < len(h.Claims) {
		return h.Claims[at]
	}
	return symbolon.Claimed{}
}

// oneOfAKind keeps the first finding of each kind: an identity has at most one
// open finding of a kind.
func oneOfAKind(in []symbolon.Finding) []symbolon.Finding {
	var out []symbolon.Finding
	for _, f := range in {
		seen := false
		for _, o := range out {
			seen = seen || o.Kind == f.Kind
		}
		if !seen {
			out = append(out, f)
		}
	}
	return out
}
