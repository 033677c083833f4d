package session

import (
	"net/http"

	"github.com/symbolon-id/symbolon/internal/answer"
)

// The answers to a request that is not let in, besides symbolon.ErrOnHold,
// ErrUserGone and ErrCannotCreate. Every other error is "don't know": 503.
var (
	// ErrUnauthenticated: no credential, or Ory is proved not to know it. 401.
	ErrUnauthenticated error = answer.New(http.StatusUnauthorized, answer.Unauthenticated, "Sign in first.")

	// ErrAAL2Required: a second factor is needed. 403.
	ErrAAL2Required error = answer.New(http.StatusForbidden, answer.AAL2Required, "A second factor is needed.")

	// ErrNotVerified: no e-mail address of the person has been verified. 403.
	ErrNotVerified error = answer.New(http.StatusForbidden, answer.NotVerified, "Verify your e-mail address first.")

	// ErrNotFresh: the last sign-in was too long ago for this. 403.
	ErrNotFresh error = answer.New(http.StatusForbidden, answer.NotFresh, "Sign in again to do this.")
)

// Denied reports whether err, of [Verifier.Authenticate] or given to an ErrorFunc,
// is a "no": nobody signed in, a policy, or no user to hand out. Any other error
// is "don't know", and must be answered neither by a login page nor by a logout.
func Denied(err error) bool { return answer.Of(err).Status < http.StatusInternalServerError }
