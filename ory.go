package symbolon

import (
	"context"
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
