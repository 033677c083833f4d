package symbolon

import (
	"context"
	"time"
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

type seenKey struct{}

// WithSeen returns a context that carries what was seen at Ory. The Linker gives it
// to [Store.Write], so that a store's OnLink can look at the identity that is being
// linked.
func WithSeen(ctx context.Context, seen Seen) context.Context {
	return context.WithValue(ctx, seenKey{}, seen)
}

// SeenFrom returns what was seen at Ory of the identity that is being linked. The
// second result is false outside of a bond's transaction.
func SeenFrom(ctx context.Context) (Seen, bool) {
	seen, ok := ctx.Value(seenKey{}).(Seen)
	return seen, ok
}

type patienceKey struct{}

// Patience is how long a question of the background waits for its turn.
type Patience struct {
	For time.Duration

	// Done ends the wait, whoever shares the question: it is the Done of the context
	// that [Background] was given.
	Done <-chan struct{}
}

// Background marks what no person waits for: hints, schedules, repairs. Whoever asks
// Ory with it gets no more than the background's share of what Ory gives, so that
// people's requests always have the rest. Where its turn does not come within
// patience the error matches [ErrRateLimited], and nothing was asked.
func Background(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, Patience{For: patience, Done: ctx.Done()})
}

// PatienceFrom returns how patient a question is; false: a person waits for it.
func PatienceFrom(ctx context.Context) (Patience, bool) {
	p, ok := ctx.Value(patienceKey{}).(Patience)
	return p, ok
}
