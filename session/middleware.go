package session

import (
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// Require lets in requests whose user is known. In next, symbolon.UserFrom(r.Context())
// returns the user, and symbolon.PrincipalFrom returns the session as well.
func (v *Verifier) Require(next http.Handler) http.Handler { return v.require(next, nil) }

// RequireWith is Require that also checks the policies:
//
//	auth.RequireWith(session.AAL2, session.Fresh(15*time.Minute))(next)
func (v *Verifier) RequireWith(policies ...Policy) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return v.require(next, policies) }
}

func (v *Verifier) require(next http.Handler, policies []Policy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r, policies...)
		if err != nil {
			v.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(symbolon.WithPrincipal(r.Context(), p)))
	})
}

// Optional lets every request in. In next the request has a user if the person has signed
// in. It has no user otherwise, or if the account is on hold: refusing an account on hold
// would help nobody, because the person could come back without the cookie. Only "don't
// know" is answered with 503, because the page for people without a session may be the
// wrong page.
func (v *Verifier) Optional(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r)
		switch {
		case err == nil:
			r = r.WithContext(symbolon.WithPrincipal(r.Context(), p))
		case !Denied(err):
			v.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (v *Verifier) fail(w http.ResponseWriter, r *http.Request, err error) {
	if v.ErrorFunc != nil {
		v.ErrorFunc(w, r, err)
		return
	}
	answer.Write(w, err)
}

// Me returns a handler that answers GET with the request's user and session, as JSON.
func (v *Verifier) Me() http.Handler {
	return answer.Method(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r)
		if err != nil {
			answer.Write(w, err)
			return
		}
		answer.JSON(w, http.StatusOK, me{p.User.ID, p.User.Identity, p.Email, meSession(p.Session)})
	})
}

type me struct {
	UserID     symbolon.UserID     `json:"user_id"`
	IdentityID symbolon.IdentityID `json:"identity_id"`
	Email      string              `json:"email"` // the first verified address, or ""
	Session    meSession           `json:"session"`
}

type meSession struct {
	ID              string    `json:"id"`
	AAL             string    `json:"aal"`
	AuthenticatedAt time.Time `json:"authenticated_at"`
	ExpiresAt       time.Time `json:"expires_at"`
}
