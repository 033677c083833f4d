package session

import (
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/ory"
)

// Denials, besides symbolon.ErrOnHold, ErrUserGone, ErrCannotCreate, ErrDenied and
// ErrNotEligible. Every other error is "don't know" (503).
var (
	// ErrUnauthenticated: there is no credential, or it is proved that Ory does not accept
	// it. 401.
	ErrUnauthenticated error = answer.New(http.StatusUnauthorized, answer.Unauthenticated, "Sign in first.")

	// ErrAAL2Required: a second factor is needed. 403.
	ErrAAL2Required error = answer.New(http.StatusForbidden, answer.AAL2Required, "A second factor is needed.")

	// ErrNotVerified: Ory has verified no e-mail address of the person. 403.
	ErrNotVerified error = answer.New(http.StatusForbidden, answer.NotVerified, "Verify your e-mail address first.")

	// ErrNotFresh: the last sign-in was too long ago. 403.
	ErrNotFresh error = answer.New(http.StatusForbidden, answer.NotFresh, "Sign in again to do this.")
)

// Denied reports whether err, which [Verifier.Authenticate] returned or an ErrorFunc got,
// is a denial: the request has no session, a policy denies it, or the person has no user.
// Any other error is "don't know": answer it neither with a login page nor with a logout.
func Denied(err error) bool { return answer.Of(err).Status < http.StatusInternalServerError }

// Refusal is the public part of an error of [Verifier.Authenticate], for protocols other
// than HTTP. It contains no secret.
type Refusal struct {
	Status  int    // 401, 403; 503: "don't know"
	Code    string // unauthenticated, aal2_required, …, as in the JSON of HTTP answers
	Message string

	// Redirect is the result of [SecondFactorURL].
	Redirect string
}

// RefusalOf returns the public part of err. Every error that is not a denial becomes "don't
// know".
func RefusalOf(err error) Refusal {
	p := answer.Of(err)
	return Refusal{p.Status, string(p.Code), p.Message, p.Redirect}
}

// aal2Required returns the denial for Ory's demand of a second factor.
func aal2Required(err error) error {
	e, ok := errors.AsType[*ory.Error](err)
	if !ok || e.Redirect == "" {
		return ErrAAL2Required
	}
	p := *answer.Of(ErrAAL2Required)
	p.Redirect = e.Redirect
	return &p
}

// SecondFactorURL returns the address where Ory asks for the second factor, if err is
// [ErrAAL2Required]. It is empty if Ory gave no address, for example because a policy
// requires the factor. An ErrorFunc sends browsers there.
func SecondFactorURL(err error) string { return answer.Of(err).Redirect }
