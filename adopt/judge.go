package adopt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// facts are all that is known of one identity whom the ledger does not bind.
type facts struct {
	identity symbolon.IdentityID
	entry    *symbolon.Link // the ledger's; nil: none

	column []symbolon.UserID // the rows whose identity column holds it
	taken  symbolon.UserID   // a row that holds it, while the ledger binds the user to another
	said   []said            // what a voucher and the operator's places name
	mail   symbolon.UserID
	letter decide.EmailVerdict // empty: not asked
}

// said is that an identity and a user name each other somewhere.
type said struct {
	by   symbolon.Proof
	user symbolon.UserID
	is   standing
}

// standing is how a user who is named stands.
type standing int

const (
	free    standing = iota // exists and has no identity
	taken                   // has another identity, or its ID was retired
	missing                 // has no row
)

// judge says what an identity's line is, as far as the identity itself decides it: that
// another one names the same user is seen at the end. It is pure.
func judge(f facts) Line {
	l := Line{Class: Ambiguous, Identity: f.identity}
	switch {
	case f.entry != nil && f.entry.State != symbolon.OnHold:
		return Line{Class: Alone, Identity: f.identity, User: f.entry.User,
			Why: fmt.Sprintf("the ledger has it as %s; bind settles it", f.entry.State)}
	case f.taken != "":
		l.User, l.Why = f.taken, "the user's row holds this identity, and the ledger binds the user to another; bind settles it"
		return l
	case len(f.column) > 1:
		l.Why = "the rows of users " + list(f.column) + " hold it"
		return l
	case len(f.column) == 1:
		return Line{Class: Column, Identity: f.identity, User: f.column[0], By: symbolon.ByIdentityColumn, Do: Bind}
	}
	return f.judgeSaid(l)
}

// judgeSaid weighs what is less than the application's own column: everything that
// speaks must name the same user.
func (f facts) judgeSaid(l Line) Line {
	var users []symbolon.UserID
	for _, s := range f.said {
		if s.is != missing && !slices.Contains(users, s.user) {
			users = append(users, s.user)
		}
	}
	if f.letter == decide.EmailProves && !slices.Contains(users, f.mail) {
		users = append(users, f.mail)
	}
	switch {
	case len(users) > 1:
		l.Why = "it names more than one user: " + f.sayings()
		return l
	case len(users) == 0:
		return f.judgeMail(l)
	}
	l.User = users[0]
	l.Class, l.Do, l.By = Email, Bind, symbolon.ByVerifiedEmail
	for _, s := range slices.Backward(f.said) { // the strongest comes first
		switch {
		case s.is == taken:
			return Line{Class: Ambiguous, Identity: f.identity, User: s.user, By: s.by, Why: "the user has another identity, or its ID was given up"}
		case s.is == free && s.by == symbolon.ByVoucher:
			l.Class, l.By = Voucher, s.by
		case s.is == free:
			l.Class, l.By = Named, s.by
		}
	}
	return l
}

// judgeMail is for an identity that nothing but an address speaks of, and that does
// not suffice.
func (f facts) judgeMail(l Line) Line {
	switch f.letter {
	case decide.EmailAmbiguous, decide.EmailTaken, decide.EmailUnverified:
		l.User, l.By, l.Why = f.mail, symbolon.ByVerifiedEmail, string(f.letter)
		return l
	}
	l.Class = Alone
	switch {
	case len(f.said) > 0:
		l.Why = f.sayings() + ", and there is no such user"
	case f.entry != nil:
		l.Why = "on hold: " + string(f.entry.Reason)
	}
	return l
}

func (f facts) sayings() string {
	var words []string
	for _, s := range f.said {
		words = append(words, fmt.Sprintf("%s names %s", s.by, s.user))
	}
	if f.letter == decide.EmailProves {
		words = append(words, fmt.Sprintf("the verified e-mail address is that of %s", f.mail))
	}
	return strings.Join(words, ", ")
}

// list names a few users.
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
