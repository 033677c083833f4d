package decide

import (
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// byClaims decides about an identity that has no bond and no row, by the claims in its
// metadata. An identity that is not eligible for a user of its own can only get one that
// exists, by a proof. Otherwise nothing is recorded about it.
func byClaims(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	plan, question := weigh(r, e, p)
	if question.None() {
		plan.Findings = append(plan.Findings, voidInvite(r, e, p, plan)...)
	}
	if question.Identity || question.None() && plan.Action == symbolon.Attach || p.When.Admits(r.Identity) {
		return plan, question
	}
	return decided(notEligible(r, p))
}

// weigh weighs the claims, the strongest first.
func weigh(r symbolon.Reading, e symbolon.Evidence, p Policy) (symbolon.Plan, Question) {
	c := claimsOf(r.Identity, p.Key).withInvite(r.Identity, p)
	if plan, asked, ok := byInvite(r, e, p, c); ok {
		return plan, asked
	}
	if plan, asked, ok := byEmail(r, e, p, c); ok {
		return plan, asked
	}
	if plan, asked, ok := byReturn(r, e, p, c); ok {
		return plan, asked
	}
	if p.When.Admits(r.Identity) { // otherwise only a voucher can give it a user
		if plan, ok := byMintedID(r, e, p, c); ok {
			return decided(plan)
		}
		if plan, ok := byReservedID(r, e, p, c); ok {
			return decided(plan)
		}
	}
	if !r.Admin && p.Admin { // only the admin API shows a voucher
		return ask(Question{Identity: true})
	}
	if plan, ok := byVoucher(r, e, p, c); ok {
		return decided(plan)
	}
	for at, user := range c.users() {
		other := claimedAt(e, at).Owner()
		if user == "" || other == "" || other == r.Identity.ID || !p.Admin || at == atMetadata && c.spent(r.Identity) {
			continue
		}
		gone, known := p.Gone[other]
		if !known {
			return ask(Question{Gone: other})
		}
		if gone {
			detail := fmt.Sprintf("it claims user %s of identity %s, which Ory no longer has; decide with symbolon bind", user, other)
			return decided(hold(r, symbolon.RecreatedIdentity, detail, finding(r, symbolon.RecreatedIdentity, user, detail)))
		}
	}
	if heldAsAmbiguous(e) {
		return decided(ambiguous(r, e.Link.User, "an adoption could not say which user it has; decide with symbolon bind"))
	}
	if plan, asked, ok := byStart(r, p); ok {
		return plan, asked
	}
	return fresh(r, e, p, c)
}

// byMintedID makes the user with the ID that Symbolon minted in the reserve hook, before
// the identity existed. If a user has or had the minted ID, the ID is a claim like any
// other.
func byMintedID(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (symbolon.Plan, bool) {
	if p.NewID != symbolon.ByMint {
		return symbolon.Plan{}, false
	}
	for at, claim := range []Claim{atMetadata: c.metadata, atExternal: c.external} {
		if claim.User == "" || c.invited(claim) || !p.Minter.Minted(claim.User) {
			continue
		}
		if free(claimedAt(e, at)) {
			return symbolon.Plan{Action: symbolon.Create, User: claim.User, BackReference: backReference(r, claim.User, p),
				Why: "the ID was reserved for it in " + claim.Where}, true
		}
	}
	return symbolon.Plan{}, false
}

// byVoucher binds the existing user that a voucher names.
func byVoucher(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (symbolon.Plan, bool) {
	if c.voucher.User == "" || !p.Minter.Vouched(c.voucher) {
		return symbolon.Plan{}, false
	}
	known := claimedAt(e, atVoucher)
	unknown := known.Row == nil && p.NewID != symbolon.ByApplication // the store knows the application's users only by their bonds
	if unknown || known.Owner() != "" || known.Linked != "" || known.Retired {
		return symbolon.Plan{}, false
	}
	return symbolon.Plan{Action: symbolon.Attach, User: c.voucher.User, BackReference: backReference(r, c.voucher.User, p), Why: "a voucher names the user"}, true
}

// fresh makes a new user and records every claim that was not followed. A claim on an
// existing user is a conflict. After max(10, 1 % of the users) conflicts within an hour,
// each further identity with a conflict is put on hold. So many conflicts mean that a
// migration went wrong, and the operator has to decide.
func fresh(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (symbolon.Plan, Question) {
	plan := symbolon.Plan{User: freshID(r, p), Why: "a new person"}
	plan.Findings, plan.Conflict = refusedClaims(r, e, p, c, "a new user was made")
	if plan.Conflict {
		plan.Why = "a new person; a claim on an existing user was not followed"
		if heldForConflict(e) || e.Conflicts >= max(10, e.Users/100) {
			findings, _ := refusedClaims(r, e, p, c, "the identity is on hold, and no user was made")
			return decided(hold(r, findings[0].Kind, "too many identities claimed existing users within an hour; decide each with symbolon bind", findings...))
		}
	}
	return create(r, e, p, plan)
}

// refusedClaims returns a finding for each claim that was not followed, at most one of each
// kind. outcome is what was done instead of following the claims. conflict says that a claim
// names an existing user.
func refusedClaims(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims, outcome string) (findings []symbolon.Finding, conflict bool) {
	add := func(f symbolon.Finding, isConflict bool) {
		conflict = conflict || isConflict
		if f.Kind != "" {
			findings = append(findings, f)
		}
	}
	for at, claim := range []Claim{atMetadata: c.metadata, atExternal: c.external} {
		if p.Answer.Known() && claim.User != "" && claim.User == p.Answer.User {
			continue // the application confirmed the claim
		}
		if at == atMetadata && c.spent(r.Identity) {
			continue // the finding InviteVoid says why
		}
		if at == atMetadata && e.Unusable != "" && free(claimedAt(e, at)) {
			add(unusable(r, e, claim, outcome), false)
			continue
		}
		add(refusedClaim(r, claim, claimedAt(e, at), outcome))
	}
	if c.hasVoucher {
		add(refusedVoucher(r, c.voucher, claimedAt(e, atVoucher), p, outcome))
	}
	return firstOfEachKind(findings), conflict
}

// refusedClaim says why a claim was not followed. An absent claim has no finding.
func refusedClaim(r symbolon.Reading, c Claim, known symbolon.Claimed, outcome string) (f symbolon.Finding, conflict bool) {
	owner := known.Owner()
	switch {
	case !c.Present():
		return symbolon.Finding{}, false
	case c.Odd != "":
		return finding(r, c.Odd, "", c.Where+" holds something that cannot be a user's ID; it was not changed"), false
	case owner != "" && owner != r.Identity.ID:
		return finding(r, symbolon.ClaimedByOther, c.User,
			fmt.Sprintf("%s names user %s, who belongs to identity %s; %s", c.Where, c.User, owner, outcome)), true
	case known.Row != nil:
		return finding(r, symbolon.ForeignBackReference, c.User,
			fmt.Sprintf("%s names user %s, who exists, but nothing proves that this identity owns it; %s", c.Where, c.User, outcome)), true
	case known.Retired:
		return finding(r, symbolon.ForeignBackReference, "", c.Where+" names a user that was deleted; "+outcome), false
	case c.Where == externalID:
		return symbolon.Finding{}, false // an ID of the operator's own numbering, which no user has
	}
	return finding(r, symbolon.ForeignBackReference, "", c.Where+" holds a value that Symbolon did not make; it was not changed"), false
}

func refusedVoucher(r symbolon.Reading, v mint.Voucher, known symbolon.Claimed, p Policy, outcome string) (f symbolon.Finding, conflict bool) {
	owner := known.Owner()
	switch {
	case v.User == "" || !p.Minter.Vouched(v):
		return finding(r, symbolon.VoucherVoid, "", "metadata_admin.symbolon is not a voucher of this project"), false
	case owner != "" && owner != r.Identity.ID:
		return finding(r, symbolon.ClaimedByOther, v.User,
			fmt.Sprintf("the voucher names user %s, who now belongs to identity %s; %s", v.User, owner, outcome)), true
	}
	return finding(r, symbolon.VoucherVoid, v.User, fmt.Sprintf("the voucher names user %s, who does not exist", v.User)), false
}

// heldForConflict reports whether the identity was put on hold for a conflict before. Then
// it stays on hold after the hour is over.
func heldForConflict(e symbolon.Evidence) bool {
	if e.Link == nil || e.Link.State != symbolon.OnHold {
		return false
	}
	switch e.Link.Reason {
	case symbolon.ClaimedByOther, symbolon.ForeignBackReference, symbolon.VoucherVoid:
		return true
	}
	return false
}

// freshID is the ID of a new user. It is empty if the database or the application
// chooses the ID.
func freshID(r symbolon.Reading, p Policy) symbolon.UserID {
	switch p.NewID {
	case symbolon.ByDatabase, symbolon.ByApplication:
		return ""
	case symbolon.ByIdentity:
		return symbolon.UserID(r.Identity.ID)
	}
	return p.Fresh()
}

// backReference returns user if Ory already holds it as the back-reference, and ""
// otherwise.
func backReference(r symbolon.Reading, user symbolon.UserID, p Policy) string {
	if MetadataClaim(r.Identity.MetadataPublic, p.Key).User == user {
		return string(user)
	}
	return ""
}

// claimedAt returns what the store knows of a claim. It returns the zero value if the store
// was not asked.
func claimedAt(e symbolon.Evidence, at int) symbolon.Claimed {
	if at < len(e.Claims) {
		return e.Claims[at]
	}
	return symbolon.Claimed{}
}
