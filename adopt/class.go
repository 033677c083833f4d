package adopt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// facts are everything known about an identity that the ledger does not link.
type facts struct {
	identity symbolon.IdentityID
	entry    *symbolon.Link // its entry in the ledger; nil: none

	column  []symbolon.UserID // the users whose rows hold this identity in the identity column
	taken   symbolon.UserID   // the user whose row holds this identity, but whom the ledger links to another identity
	claims  []claim           // the users named by a voucher and by the operator's places
	mail    symbolon.UserID
	verdict decide.EmailVerdict // what mail proves; empty: e-mail was not compared
}

// claim says that in some place the identity names the user, or the user's row names the
// identity.
type claim struct {
	by   symbolon.Proof
	user symbolon.UserID
	is   standing
}

// standing is the state of a named user.
type standing int

const (
	free    standing = iota // exists and has no identity
	taken                   // has another identity, or its ID was retired
	missing                 // has no row
)

// decideLine decides an identity's line from its own facts, without I/O. decideOpen checks
// at the end whether another identity names the same user.
func decideLine(f facts) Line {
	l := Line{Class: Ambiguous, Identity: f.identity}
	switch {
	case f.entry != nil && f.entry.State == symbolon.Also:
		return Line{Class: Linked, Identity: f.identity, User: f.entry.User}
	case f.entry != nil && f.entry.State != symbolon.OnHold:
		return Line{Class: Alone, Identity: f.identity, User: f.entry.User,
			Why: fmt.Sprintf("the ledger says that the identity is %s; decide with symbolon bind", f.entry.State)}
	case f.taken != "":
		l.User, l.Why = f.taken, "the user's row holds this identity, but the ledger links the user to another identity; decide with symbolon bind"
		return l
	case len(f.column) > 1:
		l.Why = "the rows of users " + list(f.column) + " hold the identity"
		return l
	case len(f.column) == 1:
		return Line{Class: Column, Identity: f.identity, User: f.column[0], By: symbolon.ByIdentityColumn, Do: Bind}
	}
	return f.decideClaims(l)
}

// decideClaims decides by evidence weaker than the identity column. All this evidence must
// name the same user.
func (f facts) decideClaims(l Line) Line {
	var users []symbolon.UserID
	for _, s := range f.claims {
		if s.is != missing && !slices.Contains(users, s.user) {
			users = append(users, s.user)
		}
	}
	if f.verdict == decide.EmailProves && !slices.Contains(users, f.mail) {
		users = append(users, f.mail)
	}
	switch {
	case len(users) > 1:
		l.Why = "it names more than one user: " + f.describeClaims()
		return l
	case len(users) == 0:
		return f.decideEmail(l)
	}
	l.User = users[0]
	l.Class, l.Do, l.By = Email, Bind, symbolon.ByVerifiedEmail
	for _, s := range slices.Backward(f.claims) { // the strongest claim is first, so it decides last
		switch {
		case s.is == taken:
			return Line{Class: Ambiguous, Identity: f.identity, User: s.user, By: s.by, Why: "the user has another identity, or its ID was retired"}
		case s.is == free && s.by == symbolon.ByVoucher:
			l.Class, l.By = Voucher, s.by
		case s.is == free:
			l.Class, l.By = Named, s.by
		}
	}
	return l
}

// decideEmail decides about an identity without claims whose e-mail address proves nothing.
func (f facts) decideEmail(l Line) Line {
	switch f.verdict {
	case decide.EmailAmbiguous, decide.EmailTaken, decide.EmailUnverified:
		l.User, l.By, l.Why = f.mail, symbolon.ByVerifiedEmail, string(f.verdict)
		return l
	}
	l.Class = Alone
	switch {
	case len(f.claims) > 0:
		l.Why = f.describeClaims() + ", and there is no such user"
	case f.entry != nil:
		l.Why = "on hold: " + string(f.entry.Reason)
	}
	return l
}

func (f facts) describeClaims() string {
	var words []string
	for _, s := range f.claims {
		words = append(words, fmt.Sprintf("%s names %s", s.by, s.user))
	}
	if f.verdict == decide.EmailProves {
		words = append(words, fmt.Sprintf("the verified e-mail address is that of %s", f.mail))
	}
	return strings.Join(words, ", ")
}

// list names at most five users.
func list(users []symbolon.UserID) string {
	var words []string
	for _, u := range users {
		words = append(words, string(u))
	}
	if len(words) > 5 {
		words = append(words[:5], "…")
	}
	return strings.Join(words, ", ")
}
