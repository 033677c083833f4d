package symbolon

import (
	"fmt"
)

// policy is what decide needs beside the evidence: the operator's choices, and
// what was asked at Ory on an earlier round.
type policy struct {
	minter   *Minter
	key      string // the key below metadata_public that holds the back-reference
	newID    NewID
	fresh    UserID // a newly minted ID, used where nothing better is found
	admin    bool   // Ory's admin API can be asked
	email    bool   // adopt.verified_email
	recreate bool   // on_user_deleted: recreate
	gone     map[IdentityID]bool
	made     *made // by the application; nil unless it makes its users itself
}

// question is what decide has to know before it can decide: from Ory, or from the
// application. The zero question asks nothing: the plan beside it is the decision.
type question struct {
	identity bool       // read the identity over the admin API
	gone     IdentityID // is this other identity gone?
	create   bool       // which user does the application make?
}

func (q question) none() bool { return q == question{} }

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
func decide(s Seen, h Held, p policy) (Plan, question) {
	if h.Link != nil {
		switch h.Link.State {
		case Linked:
			return decideLinked(s, h, p)
		case Forgotten:
			return decideGone(s, h, p, nil)
		case Gone, Erased:
			return decideEnded(s, h, p)
		}
	}
	if h.Row != nil {
		return decideRow(s, h), question{}
	}
	if h.Link != nil && h.Link.Reason == Moved {
		return holdMoved(s), question{}
	}
	return decideClaims(s, h, p)
}

// decideLinked judges a bond that the ledger holds. The application's row has the
// last word on whether it may still be handed out.
func decideLinked(s Seen, h Held, p policy) (Plan, question) {
	link := h.Link
	switch {
	case h.User == nil && h.Row == nil:
		return decideGone(s, h, p, []Finding{{Kind: UserGone, Identity: link.Identity, User: link.User,
			Detail: fmt.Sprintf("user %s has no row any more, and Forget was not called", link.User)}})
	case h.User == nil || h.User.Identity != s.Identity.ID:
		return disagree(s, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, whose identity column does not hold it; bind settles it", link.User)), question{}
	case h.Row != nil && h.Row.ID != link.User:
		return disagree(s, link.User, fmt.Sprintf(
			"the ledger binds the identity to user %s, but the row of user %s holds it; bind settles it", link.User, h.Row.ID)), question{}
	case s.Ticket > link.Ticket:
		return Plan{Action: Update, User: link.User, BackReference: backReference(s, link.User, p), Why: "a newer reading"}, question{}
	}
	return Plan{Action: Keep, User: link.User}, question{}
}

// decideGone follows on_user_deleted. Without a finding where the application
// said itself that it deletes the user.
func decideGone(s Seen, h Held, p policy, findings []Finding) (Plan, question) {
	if p.recreate && p.newID != ByIdentity {
		return byApplication(s, h, p, Plan{Action: Create, User: freshID(s, p), Retire: h.Link.User, Findings: findings,
			Why: fmt.Sprintf("user %s was deleted; on_user_deleted is recreate", h.Link.User)})
	}
	return Plan{Action: Deny, User: h.Link.User, Reason: UserGone, Findings: findings, Err: &DenyError{Identity: s.Identity.ID,
		Finding: UserGone, Detail: fmt.Sprintf("user %s was deleted", h.Link.User), Err: ErrUserGone}}, question{}
}

// decideRow follows the application's word: a row holds this identity's ID.
func decideRow(s Seen, h Held) Plan {
	row := h.Row
	if row.Linked != "" && row.Linked != s.Identity.ID {
		return disagree(s, row.ID, fmt.Sprintf(
			"the row of user %s holds this identity, but the ledger binds the user to identity %s; bind settles it", row.ID, row.Linked))
	}
	return Plan{Action: Attach, User: row.ID, Why: "the application's row holds the identity's ID"}
}

func disagree(s Seen, user UserID, detail string) Plan {
	return Plan{Action: Deny, User: user, Reason: ColumnDisagrees,
		Findings: []Finding{{Kind: ColumnDisagrees, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &DenyError{Identity: s.Identity.ID, Finding: ColumnDisagrees, Detail: detail, Err: ErrOnHold}}
}

// decideClaims weighs what the identity's metadata says of an identity that
// nobody here knows yet.
func decideClaims(s Seen, h Held, p policy) (Plan, question) {
	c := claimsOf(s.Identity, p.key)
	if plan, asked, ok := decideEmail(s, h, p, c); ok {
		return plan, asked
	}
	if plan, ok := decideMinted(s, h, p, c); ok {
		return plan, question{}
	}
	if plan, ok := decideVoucher(s, h, p, c); ok {
		return plan, question{}
	}
	if (c.metadata.present() || c.external.present()) && !s.Admin && p.admin {
		return Plan{}, question{identity: true}
	}
	for at, user := range c.users() {
		other := held(h, at).Owner()
		if user == "" || other == "" || other == s.Identity.ID || !p.admin {
			continue
		}
		gone, known := p.gone[other]
		if !known {
			return Plan{}, question{gone: other}
		}
		if gone {
			return holdRecreated(s, user, other), question{}
		}
	}
	return decideFresh(s, h, p, c)
}

// decideMinted makes the user with the ID that Symbolon minted for it: in the
// reserve hook, before the identity existed. A minted ID that is somebody's, or
// was, is a claim like any other.
func decideMinted(s Seen, h Held, p policy, c claims) (Plan, bool) {
	if p.newID != ByMint {
		return Plan{}, false
	}
	for at, claim := range []claim{atMetadata: c.metadata, atExternal: c.external} {
		if claim.user == "" || !p.minter.Minted(claim.user) {
			continue
		}
		known := held(h, at)
		if known.Row == nil && known.Linked == "" && !known.Retired {
			return Plan{Action: Create, User: claim.user, BackReference: backReference(s, claim.user, p),
				Why: "the ID was reserved for it in " + claim.where}, true
		}
	}
	return Plan{}, false
}

// decideVoucher binds the existing user that a voucher names.
func decideVoucher(s Seen, h Held, p policy, c claims) (Plan, bool) {
	if c.voucher.User == "" || !p.minter.Vouched(c.voucher) {
		return Plan{}, false
	}
	known := held(h, atVoucher)
	unknown := known.Row == nil && p.newID != ByApplication // whose users the store learns of by being told
	if unknown || known.Owner() != "" || known.Linked != "" || known.Retired {
		return Plan{}, false
	}
	return Plan{Action: Attach, User: c.voucher.User, BackReference: backReference(s, c.voucher.User, p), Why: "a voucher names the user"}, true
}

// decideFresh makes a new user and records every claim that was not followed.
// Where such a claim names an existing user it is a conflict, and past
// max(10, 1 % of the users) an hour conflicts are held: that many at once are a
// migration gone wrong, and an operator should say what is meant.
func decideFresh(s Seen, h Held, p policy, c claims) (Plan, question) {
	plan := Plan{Action: Create, User: freshID(s, p), Why: "a new person"}
	for at, claim := range []claim{atMetadata: c.metadata, atExternal: c.external} {
		if p.made.known() && claim.user != "" && claim.user == p.made.user {
			continue // it was true
		}
		f, conflict := judgeClaim(s, claim, held(h, at))
		plan.Conflict = plan.Conflict || conflict
		if f.Kind != "" {
			plan.Findings = append(plan.Findings, f)
		}
	}
	if c.hasPaper {
		f, conflict := judgeVoucher(s, c.voucher, held(h, atVoucher), p)
		plan.Conflict = plan.Conflict || conflict
		plan.Findings = append(plan.Findings, f)
	}
	plan.Findings = oneOfAKind(plan.Findings)
	if plan.Conflict {
		plan.Why = "a new person; a claim on an existing user was not followed"
		if wasHeld(h) || h.Conflicts >= max(10, h.Users/100) {
			return holdConflict(s, plan), question{}
		}
	}
	return byApplication(s, h, p, plan)
}

// judgeClaim says what is wrong with a claim that was not followed.
func judgeClaim(s Seen, c claim, known Claimed) (f Finding, conflict bool) {
	f = Finding{Identity: s.Identity.ID}
	switch {
	case !c.present():
		return Finding{}, false
	case c.odd != "":
		f.Kind, f.Detail = c.odd, c.where+" holds something that cannot be a user's ID; it was left"
	case known.Owner() != "" && known.Owner() != s.Identity.ID:
		f.Kind, f.User = ClaimedByOther, c.user
		f.Detail = fmt.Sprintf("%s names user %s, who belongs to identity %s; a fresh user was made", c.where, c.user, known.Owner())
		return f, true
	case known.Row != nil:
		f.Kind, f.User = ForeignBackReference, c.user
		f.Detail = fmt.Sprintf("%s names user %s, who exists but never proved to be this identity's; a fresh user was made", c.where, c.user)
		return f, true
	case known.Retired:
		f.Kind, f.Detail = ForeignBackReference, c.where+" names a user that was deleted; a fresh user was made"
	case c.where == "external_id": // the operator's own numbering, and nobody's user
		return Finding{}, false
	default:
		f.Kind, f.Detail = ForeignBackReference, c.where+" holds a value that Symbolon did not mint; it was left"
	}
	return f, false
}

func judgeVoucher(s Seen, v Voucher, known Claimed, p policy) (f Finding, conflict bool) {
	f = Finding{Kind: VoucherVoid, Identity: s.Identity.ID, User: v.User}
	switch {
	case v.User == "" || !p.minter.Vouched(v):
		f.User, f.Detail = "", "metadata_admin.symbolon is not a voucher of this project"
	case known.Owner() != "" && known.Owner() != s.Identity.ID:
		f.Kind = ClaimedByOther
		f.Detail = fmt.Sprintf("the voucher names user %s, who belongs to identity %s by now; a fresh user was made", v.User, known.Owner())
		return f, true
	default:
		f.Detail = fmt.Sprintf("the voucher names user %s, who does not exist", v.User)
	}
	return f, false
}

func holdRecreated(s Seen, user UserID, other IdentityID) Plan {
	detail := fmt.Sprintf("it claims user %s of identity %s, which Ory no longer has; bind settles it", user, other)
	return Plan{Action: Hold, Reason: RecreatedIdentity, Why: detail,
		Findings: []Finding{{Kind: RecreatedIdentity, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &DenyError{Identity: s.Identity.ID, Finding: RecreatedIdentity, Detail: detail, Err: ErrOnHold}}
}

func holdConflict(s Seen, fresh Plan) Plan {
	kind := fresh.Findings[0].Kind
	const detail = "too many identities claimed existing users within an hour; bind settles each"
	for i := range fresh.Findings {
		fresh.Findings[i].Detail += " once the hold is settled"
	}
	return Plan{Action: Hold, Reason: kind, Findings: fresh.Findings, Why: detail,
		Err: &DenyError{Identity: s.Identity.ID, Finding: kind, Detail: detail, Err: ErrOnHold}}
}

// holdMoved keeps an identity on hold whose user the operator gave to another.
func holdMoved(s Seen) Plan {
	const detail = "the operator bound its user to another identity; bind gives it one again"
	return Plan{Action: Hold, Reason: Moved, Why: detail,
		Err: &DenyError{Identity: s.Identity.ID, Finding: Moved, Detail: detail, Err: ErrOnHold}}
}

// wasHeld reports whether the identity was put on hold for a conflict before: it
// stays so when the hour is over.
func wasHeld(h Held) bool {
	if h.Link == nil || h.Link.State != OnHold {
		return false
	}
	switch h.Link.Reason {
	case ClaimedByOther, ForeignBackReference, VoucherVoid:
		return true
	}
	return false
}

// freshID is the ID of a user that nobody spoke of before; empty: the database's.
func freshID(s Seen, p policy) UserID {
	switch p.newID {
	case ByDatabase, ByApplication:
		return ""
	case ByIdentity:
		return UserID(s.Identity.ID)
	}
	return p.fresh
}

// backReference returns user if that is what Ory was seen to hold.
func backReference(s Seen, user UserID, p policy) string {
	if metadataClaim(s.Identity.MetadataPublic, p.key).user == user {
		return string(user)
	}
	return ""
}

// held returns what the store answered for a claim; a store that was not asked
// knows nothing.
func held(h Held, at int) Claimed {
	if at < len(h.Claims) {
		return h.Claims[at]
	}
	return Claimed{}
}

// oneOfAKind keeps the first finding of each kind: an identity has at most one
// open finding of a kind.
func oneOfAKind(in []Finding) []Finding {
	var out []Finding
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
