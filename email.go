package symbolon

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// NormalEmail is the one form in which e-mail addresses are compared, and only ever
// under the rules of adopting: ASCII letters are lowered and nothing else is changed.
// !ok: the address matches nobody. That is one without exactly one "@" between two
// parts, one with blanks, control characters or invalid bytes, and one with a rune at
// or behind U+0300. Below that, text is always in Unicode's normal form C; from there
// on normalising would turn characters into others, U+212A KELVIN SIGN into a K, and
// what only looks alike must never be the same person. Such an address is bound by
// the operator's word.
func NormalEmail(address string) (normal string, ok bool) {
	local, domain, found := strings.Cut(address, "@")
	if !found || local == "" || domain == "" || strings.Contains(domain, "@") || len(address) > 254 || !utf8.ValidString(address) {
		return "", false
	}
	odd := func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == 0xad || r >= 0x300 // blanks, controls, the soft hyphen
	}
	if strings.ContainsFunc(address, odd) {
		return "", false
	}
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return strings.Map(lower, address), true
}

// Emails lists the e-mail addresses of an identity, verified or not, as [NormalEmail]
// makes them, each once.
func (i Identity) Emails() []string { return i.emails(false) }

// VerifiedEmails lists those of them that Ory has verified.
func (i Identity) VerifiedEmails() []string { return i.emails(true) }

func (i Identity) emails(verified bool) (out []string) {
	known := map[string]bool{}
	for _, a := range i.Addresses {
		if a.Via != "" && a.Via != "email" || verified && !a.Verified {
			continue
		}
		if normal, ok := NormalEmail(a.Value); ok && !known[normal] {
			known[normal] = true
			out = append(out, normal)
		}
	}
	return out
}

// UnverifiedEmail: the identity has the e-mail address of an existing user, and one
// of the two sides has not verified it. Held until both have.
const UnverifiedEmail FindingKind = "unverified_email"

// Match is a row of the users table that has one of an identity's e-mail addresses.
type Match struct {
	Row
	Retired  bool
	Email    string // as [NormalEmail] makes it
	Verified bool   // by the application
}

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
func JudgeEmail(id Identity, matches []Match) (UserID, EmailVerdict) {
	all, verified := id.Emails(), id.VerifiedEmails()
	var row *Match
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
func decideEmail(s Seen, h Held, p policy, c claims) (Plan, question, bool) {
	if !p.email || !p.admin {
		return Plan{}, question{}, false
	}
	user, verdict := JudgeEmail(s.Identity, h.Matches)
	if verdict != EmailProves && verdict != EmailUnverified {
		return Plan{}, question{}, false
	}
	if !s.Admin {
		return Plan{}, question{identity: true}, true
	}
	if plan, ok := decideVoucher(s, h, p, c); ok {
		return plan, question{}, true
	}
	if verdict == EmailProves {
		return Plan{Action: Attach, User: user, BackReference: backReference(s, user, p), Why: "its verified e-mail address is the user's"}, question{}, true
	}
	detail := fmt.Sprintf("it has the e-mail address of user %s, and one of the two sides has not verified it; bind settles it", user)
	return Plan{Action: Hold, Reason: UnverifiedEmail, Why: detail,
		Findings: []Finding{{Kind: UnverifiedEmail, Identity: s.Identity.ID, User: user, Detail: detail}},
		Err:      &DenyError{Identity: s.Identity.ID, Finding: UnverifiedEmail, Detail: detail, Err: ErrOnHold}}, question{}, true
}
