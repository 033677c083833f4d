package session

import (
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/ory"
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
// is a denial: nobody signed in, a policy, or no user to hand out. Any other error is
// "don't know", and must be answered neither by a login page nor by a logout.
func Denied(err error) bool { return answer.Of(err).Status < http.StatusInternalServerError }

// Refusal is what an error of [Verifier.Authenticate] says to a stranger, for answers by
// another way than HTTP. It holds no secret.
type Refusal struct {
	Status  int    // 401, 403; 503: "don't know"
	Code    string // of the one error shape: unauthenticated, aal2_required, …
	Message string

	// Redirect, where there is one, is where a browser can do what is missing: see
	// [SecondFactorURL].
	Redirect string
}

// RefusalOf says which refusal err is. An error that is no answer is "don't know".
func RefusalOf(err error) Refusal {
	p := answer.Of(err)
	return Refusal{p.Status, string(p.Code), p.Message, p.Redirect}
}

// secondFactor is ErrAAL2Required with the address where Ory asks for the factor.
type secondFactor struct{ problem *answer.Problem }

func (s *secondFactor) Error() string   { return s.problem.Error() }
func (s *secondFactor) Unwrap() []error { return []error{s.problem, ErrAAL2Required} }

// aal2Required is what Ory's refusal means.
func aal2Required(err error) error {
	var e *ory.Error
	if !errors.As(err, &e) || e.Redirect == "" {
		return ErrAAL2Required
	}
	p := answer.New(http.StatusForbidden, answer.AAL2Required, answer.Of(ErrAAL2Required).Message)
	p.Redirect = e.Redirect
	return &secondFactor{p}
}

// SecondFactorURL returns the address where Ory asks for the second factor, of an error that
// is [ErrAAL2Required]. It is empty if Ory named none, for example because a policy wants
// the factor. An ErrorFunc sends browsers there.
func SecondFactorURL(err error) string {
	var s *secondFactor
	if errors.As(err, &s) {
		return s.problem.Redirect
	}
	return ""
}
