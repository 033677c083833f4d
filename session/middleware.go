package session

import (
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// Require lets in requests whose user is known and whose session meets the
// policies. Inside, symbolon.UserFrom(r.Context()) has the user and
// symbolon.PrincipalFrom the session as well.
func (v *Verifier) Require(next http.Handler, policies ...Policy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r, policies...)
		if err != nil {
			v.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(symbolon.WithPrincipal(r.Context(), p)))
	})
}

// Optional lets everybody in: who has signed in with their user, and who has not,
// or whose account is on hold, without. Nobody gains by being turned away who
// could come back without the cookie. Only "don't know" is answered with 503: a
// page for strangers would be the wrong one.
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

// Me answers GET with who the request is, as JSON.
func (v *Verifier) Me() http.Handler {
	return answer.Method(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		p, err := v.Authenticate(r)
		if err != nil {
			answer.Write(w, err)
			return
		}
		answer.JSON(w, http.StatusOK, meOf(p))
	})
}

type me struct {
	UserID     symbolon.UserID     `json:"user_id"`
	IdentityID symbolon.IdentityID `json:"identity_id"`
	Email      string              `json:"email"` // the first verified one, or ""
	Session    meSession           `json:"session"`
}

type meSession struct {
	ID              string    `json:"id"`
	AAL             string    `json:"aal"`
	AuthenticatedAt time.Time `json:"authenticated_at"`
	ExpiresAt       time.Time `json:"expires_at"`
}

func meOf(p *symbolon.Principal) me {
	return me{p.User.ID, p.User.Identity, p.Email, meSession(p.Session)}
}
