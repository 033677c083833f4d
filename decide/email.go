package decide

import (
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// EmailVerdict is what e-mail addresses say of an identity and the users.
type EmailVerdict string

const (
	EmailUnknown    EmailVerdict = "no user has the address"
	EmailProves     EmailVerdict = "one user has the address, and both sides verified it"
	EmailUnverified EmailVerdict = "one user has the address, and one of the two sides has not verified it"
	EmailAmbiguous  EmailVerdict = "more than one user has the address"
	EmailTaken      EmailVerdict = "the user with the address has another identity, or was deleted"
)

// JudgeEmail is the rule of adopting by verified e-mail: exactly one row has an
// address of the identity's, it is unbound, and both sides verified that address. The
// user is named unless no row has one or several have.
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

// decideEmail follows adopt.verified_email: an existing user whose address both sides
// verified is the identity's; one whose address is not verified yet is waited for, so
// that nobody gets a second user, or another's, in the meantime. It comes before a
// reserved ID, which says nothing about who existed before, and behind a voucher.
func decideEmail(s symbolon.Reading, h symbolon.Evidence, p Policy, c claims) (symbolon.Plan, Question, bool) {
	if !p.VerifiedEmail || !p.Admin {
		return symbolon.Plan{}, Question{}, false
	}
	user, verdict := JudgeEmail(s.Identity, h.Matches)
	if verdict != EmailProves && verdict != EmailUnverified {
		return symbolon.Plan{}, Question{}, false
	}
	if !s.Admin {
		return symbolon.Plan{}, Question{Identity: true}, true
	}
	if plan, ok := decideVoucher(s, h, p, c); ok {
		return plan, Question{}, true
	}
	if verdict == EmailProves {
		return symbolon.Plan{Action: symbolon.Attach, User: user, BackReference: backReference(s, user, p), Why: "its verified e-mail address is the user's"}, Question{}, true
	}
	detail := fmt.Sprintf("it has the e-mail address of user %s, and one of the two sides has not verified it; bind settles it", user)
	return symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.UnverifiedEmail, Why: detail,
		Findings: []symbolon.Finding{{Kind: symbolon.UnverifiedEmail, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: s.Identity.ID, Finding: symbolon.UnverifiedEmail, Detail: detail, Err: symbolon.ErrOnHold}}, Question{}, true
}
