package decide

import (
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// EmailVerdict is what the e-mail addresses of an identity and of the users prove.
type EmailVerdict string

const (
	EmailUnknown    EmailVerdict = "no user has the address"
	EmailProves     EmailVerdict = "one user has the address, and both sides verified it"
	EmailUnverified EmailVerdict = "one user has the address, and one of the two sides has not verified it"
	EmailAmbiguous  EmailVerdict = "more than one user has the address"
	EmailTaken      EmailVerdict = "the user with the address has another identity, or was deleted"
)

// JudgeEmail is the rule of adopting by verified e-mail: exactly one row has one of the
// identity's addresses, the row is unlinked, and both sides verified that address. If
// exactly one row has one of the addresses, its user is returned, whatever the verdict is.
func JudgeEmail(id symbolon.Identity, matches []symbolon.Match) (symbolon.UserID, EmailVerdict) {
	all, verified := id.Emails(), id.VerifiedEmails()
	var row *symbolon.Match
	proved := false
	for i, m := range matches {
		if !slices.Contains(all, m.Email) {
			continue
		}
		if row != nil && row.ID != m.ID {
			return "", EmailAmbiguous
		}
		row = &matches[i]
		proved = proved || m.Verified && slices.Contains(verified, m.Email)
	}
	switch {
	case row == nil:
		return "", EmailUnknown
	case row.Retired || row.Owner() != "" && row.Owner() != id.ID || row.Linked != "" && row.Linked != id.ID:
		return row.ID, EmailTaken
	case proved:
		return row.ID, EmailProves
	}
	return row.ID, EmailUnverified
}

// byEmail applies adopt.verified_email. The identity gets the one existing user that has
// its address, if both sides verified the address. While one side has not verified it, the
// identity is held, so that it gets neither a second user nor another person's. A voucher
// comes before e-mail. E-mail comes before a minted ID, because a minted ID does not say
// whether the person had a user before.
func byEmail(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (plan symbolon.Plan, asked Question, ok bool) {
	if !p.VerifiedEmail || !p.Admin {
		return plan, asked, false
	}
	user, verdict := JudgeEmail(r.Identity, e.Matches)
	if verdict != EmailProves && verdict != EmailUnverified {
		return plan, asked, false
	}
	if !r.Admin {
		return plan, Question{Identity: true}, true
	}
	if plan, ok := byVoucher(r, e, p, c); ok {
		return plan, asked, true
	}
	if verdict == EmailProves {
		return symbolon.Plan{Action: symbolon.Attach, User: user, BackReference: backReference(r, user, p),
			Why: "its verified e-mail address is the user's"}, asked, true
	}
	detail := fmt.Sprintf("it has the e-mail address of user %s, and one of the two sides has not verified it; decide with symbolon bind", user)
	return hold(r, symbolon.UnverifiedEmail, detail, finding(r, symbolon.UnverifiedEmail, user, detail)), asked, true
}
