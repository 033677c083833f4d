package symbolon

import (
	"context"
	"time"
)

// Session is what Ory says of the session that a request carried.
type Session struct {
	ID              string
	AAL             string // "aal1", "aal2": authenticator assurance level
	AuthenticatedAt time.Time
	ExpiresAt       time.Time
}

// Principal is the answer to "who is this request?": the user, and the session that proves
// it. Requests share a Principal, so never change it.
type Principal struct {
	User    User
	Session Session
	Email   string // the first verified address, or ""

	// Tokenised says that the proof is a JWT that Ory signed, and that Ory was not asked
	// about it. A revoked session is therefore accepted until the JWT expires. Session
	// holds the values of the claims; AAL, AuthenticatedAt and Email may be empty.
	Tokenised bool

	// Loaded holds the rows of session.Load; read them with its method From.
	Loaded any `json:"-"`
}

type principalKey struct{}

// WithPrincipal returns a context that carries p. The middleware of package session calls
// it once per request.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of the request, or nil if nobody has signed in.
func PrincipalFrom(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// UserFrom returns the user of the request. It returns false if nobody has signed in,
// which cannot happen behind session.Verifier.Require.
func UserFrom(ctx context.Context) (User, bool) {
	if p := PrincipalFrom(ctx); p != nil {
		return p.User, true
	}
	return User{}, false
}

// WithUser returns a context in which u has signed in, for the tests of handlers.
func WithUser(ctx context.Context, u User) context.Context {
	return WithPrincipal(ctx, &Principal{User: u})
}
