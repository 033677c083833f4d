package symbolon

import (
	"context"
)

type principalKey struct{}

// WithPrincipal returns a context that carries p. The middleware of package
// session calls it once per request; p is shared and must not be changed.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who the request is, or nil when nobody signed in.
func PrincipalFrom(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// UserFrom returns the user of the request. The second result is false when
// nobody signed in, which cannot happen behind session.Verifier.Require.
func UserFrom(ctx context.Context) (User, bool) {
	if p := PrincipalFrom(ctx); p != nil {
		return p.User, true
	}
	return User{}, false
}

// WithUser returns a context in which u has signed in: for the tests of handlers.
func WithUser(ctx context.Context, u User) context.Context {
	return WithPrincipal(ctx, &Principal{User: u})
}
