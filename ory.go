package symbolon

import (
	"context"
	"time"
)

// Ory is what the Linker needs of Ory. *ory.Client implements it.
type Ory interface {
	// HasAdmin reports whether the admin API is configured. Without it the other methods
	// return ErrNoAdmin.
	HasAdmin() bool

	// Identity reads one identity over the admin API. ErrNotFound means Kratos' own 404,
	// in Kratos' own form. Every other failure is ErrUnavailable.
	Identity(ctx context.Context, id IdentityID) (Identity, error)

	// AddPublicMetadata sets metadata_public.<key> by one JSON Patch "add" and returns the
	// identity that Ory then has.
	AddPublicMetadata(ctx context.Context, id IdentityID, key, value string) (Identity, error)
}

// Creator asks the application to make a user, if Symbolon must not write the application's
// table or cannot reach it. *createurl.Client implements it.
//
// Many goroutines may call it at once. No transaction is open meanwhile.
type Creator interface {
	// Create returns the identity's user in the application. If there is none, the
	// application makes it. After a lost answer Create is called again, and must then
	// return the same user.
	//
	// An error that matches [ErrCannotCreate] is the application's denial. Its text goes
	// into a finding, so it must hold no secret and no trait. Every other error means that
	// nothing is known; the caller gets [ErrUnavailable], and a later call asks again.
	Create(ctx context.Context, id Identity) (UserID, error)
}

// Patience says how long a request to Ory waits for the background's share of Ory's rate
// limit.
type Patience struct {
	For time.Duration

	// Done is the Done channel of the context that [Background] got. A request that several
	// callers share runs in a context of its own, which does not end with the caller's. Done
	// ends the wait in that case too.
	Done <-chan struct{}
}

type patienceKey struct{}

// Background marks work that no person waits for: hints, schedules, repairs. Its requests
// to Ory use only the background's share of Ory's rate limit, so that the rest is always
// free for people's requests. If a request cannot be sent within patience, its error
// matches [ErrRateLimited], and Ory was not asked.
func Background(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, Patience{For: patience, Done: ctx.Done()})
}

// PatienceFrom returns the Patience that [Background] put into ctx. It returns false if
// there is none, because a person waits for the answer.
func PatienceFrom(ctx context.Context) (Patience, bool) {
	p, ok := ctx.Value(patienceKey{}).(Patience)
	return p, ok
}
