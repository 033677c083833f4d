package symbolon

import (
	"time"
)

// Session is what Ory said of the session that a request carried.
type Session struct {
	ID              string
	AAL             string // "aal1", "aal2": authenticator assurance level
	AuthenticatedAt time.Time
	ExpiresAt       time.Time
}

// Principal is the answer to "who is this request?": the user, and the session
// that proves it. Values are shared between requests: never change one.
type Principal struct {
	User    User
	Session Session
	Email   string // the first verified address, or ""

	// Tokenised says that a JWT of Ory's proves it, which nobody asked Ory about: a
	// revocation at Ory counts when it expires. Of Session it has what the JWT's claims
	// say; AAL, AuthenticatedAt and Email may be empty.
	Tokenised bool

	// Loaded holds the rows of session.Load, which alone reads it.
	Loaded any `json:"-"`
}
