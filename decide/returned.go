package decide

import (
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// OnReturn says what somebody gets who comes back with a new identity, after Ory's deletion of
// the former identity was proved and the user's row was kept.
type OnReturn string

const (
	ReturnNew     OnReturn = "new"     // a new user. The default
	ReturnRestore OnReturn = "restore" // the former user, if Ory verified the same address then and now
	ReturnAsk     OnReturn = "ask"     // no user until the operator decides
)

// ReturnedPerson is the finding about an identity with an e-mail address that Ory had verified
// for a user whose identity was deleted. The identity is on hold until the operator decides.
const ReturnedPerson symbolon.FindingKind = "returned_person"

// Looks reports whether the policy looks for the former users of new identities.
func (o OnReturn) Looks() bool { return o == ReturnRestore || o == ReturnAsk }

// byReturn applies on_return. It comes before a minted ID, because a minted ID does not say
// whether the person had a user before. A voucher comes before it. So the identity is read over
// the admin API first, which shows vouchers and all addresses.
//
// While Ory has not verified the address, the identity is on hold, because a user that is made
// at sign-up would be the person's second one.
func byReturn(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (plan symbolon.Plan, asked Question, ok bool) {
	if !p.OnReturn.Looks() || !p.Admin || heldByOthers(e) {
		return plan, asked, false
	}
	if !r.Admin {
		return plan, Question{Identity: true}, true
	}
	former := formerUsers(r, e)
	if len(former) == 0 {
		return plan, asked, false
	}
	if plan, ok := byVoucher(r, e, p, c); ok {
		return plan, asked, true
	}
	if doubt := doubtReturn(r, e, p, c, former); doubt != "" || p.OnReturn == ReturnAsk {
		return holdReturned(r, p, former, doubt), asked, true
	}
	if r.Ticket == 0 {
		return plan, Question{Ticket: true}, true
	}
	one := former[0]
	return symbolon.Plan{Action: symbolon.Attach, User: one.ID, Release: one.Identity, ReleaseGone: true, BackReference: backReference(r, one.ID, p),
		Why: fmt.Sprintf("the person returned: Ory verified the same address for identity %s, which it no longer has", one.Identity)}, asked, true
}

// formerUsers are the ended bonds whose users can be given back: the row still holds the
// identity that is gone, and nothing else happened to the user. Each user is listed once.
func formerUsers(r symbolon.Reading, e symbolon.Evidence) (former []symbolon.Match) {
	for _, ended := range e.Ended {
		kept := !ended.Retired && ended.Linked == "" && ended.Identity != "" && ended.Identity != r.Identity.ID
		if kept && !slices.ContainsFunc(former, func(f symbolon.Match) bool { return f.ID == ended.ID }) {
			former = append(former, ended)
		}
	}
	return former
}

// doubtReturn says why the former user cannot simply be given back. It is empty if Ory verified
// the address and nothing contradicts.
func doubtReturn(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims, former []symbolon.Match) string {
	if !verifiedAgain(r, p, former) {
		return "Ory has not verified the address of this identity yet"
	}
	if len(former) > 1 {
		return "several users had the address"
	}
	if former[0].Denied != "" {
		return "the application denies the user (users.deny." + former[0].Denied + ")"
	}
	for at, user := range c.users() {
		if known := claimedAt(e, at); user != "" && user != former[0].ID && (known.Row != nil || known.Linked != "") {
			return fmt.Sprintf("its metadata names user %s", user)
		}
	}
	return ""
}

// verifiedAgain reports whether Ory has verified an address now that it had verified for one of
// the former users.
func verifiedAgain(r symbolon.Reading, p Policy, former []symbolon.Match) bool {
	for _, address := range r.Identity.VerifiedEmails() {
		records := p.Minter.Addresses(address)
		if slices.ContainsFunc(former, func(f symbolon.Match) bool { return slices.Contains(records, f.Email) }) {
			return true
		}
	}
	return false
}

// holdReturned puts the identity on hold. The finding names the former users.
func holdReturned(r symbolon.Reading, p Policy, former []symbolon.Match, doubt string) symbolon.Plan {
	user, id := former[0].ID, r.Identity.ID
	detail := fmt.Sprintf("it has the e-mail address that Ory had verified for user %s, whose identity %s is gone", user, former[0].Identity)
	for _, more := range former[1:] {
		detail += fmt.Sprintf(", and for user %s of identity %s", more.ID, more.Identity)
	}
	if doubt != "" {
		detail += "; " + doubt
	}
	if !verifiedAgain(r, p, former) {
		detail += "; when Ory has verified it, on_return applies"
		return hold(r, symbolon.UnverifiedEmail, detail, finding(r, symbolon.UnverifiedEmail, user, detail))
	}
	detail += fmt.Sprintf("; decide with `symbolon bind %s %s` or `symbolon bind %s --new`", id, user, id)
	return hold(r, ReturnedPerson, detail, finding(r, ReturnedPerson, user, detail))
}

// heldByOthers reports whether the identity is on hold for a reason that on_return must not end.
func heldByOthers(e symbolon.Evidence) bool {
	if e.Link == nil || e.Link.State != symbolon.OnHold {
		return false
	}
	switch e.Link.Reason {
	case ReturnedPerson, symbolon.UnverifiedEmail, symbolon.CannotCreate:
		return false
	}
	return true
}
