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

// Creator has the application make its own users, if Symbolon must not write the
// application's table or cannot reach it. *createurl.Client implements it.
//
// Many goroutines may call it at once. No transaction is open meanwhile.
type Creator interface {
	// Create returns the application's user of the identity, and has it made if there is
	// none. It is called again after a lost answer, and must return the same user then.
	//
	// An error that matches [ErrCannotCreate] is the application's denial. Its text goes
	// into a finding, so it must hold no secret and no trait. Every other error means that
	// nothing is known; the caller gets [ErrUnavailable], and a later call asks again.
	Create(ctx context.Context, id Identity) (UserID, error)
}

// Patience is how long a question to Ory waits for the background's share of Ory's rate.
type Patience struct {
	For time.Duration

	// Done ends the wait, even if the question is shared and has a context of its own. It
	// is the Done of the context that [Background] got.
	Done <-chan struct{}
}

type patienceKey struct{}

// Background marks work that no person waits for: hints, schedules, repairs. Its
// questions to Ory get only the background's share of Ory's rate, so that people's
// requests always have the rest. If a question gets no turn within patience, its error
// matches [ErrRateLimited], and Ory was not asked.
func Background(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, Patience{For: patience, Done: ctx.Done()})
}

// PatienceFrom returns the patience of a question. It returns false if a person waits.
func PatienceFrom(ctx context.Context) (Patience, bool) {
	p, ok := ctx.Value(patienceKey{}).(Patience)
	return p, ok
}
