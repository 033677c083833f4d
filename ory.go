package symbolon

import (
	"context"
)

// Creator has the application make its own user, where Symbolon must not write the
// application's table or cannot reach it. *createurl.Client is one.
//
// Many goroutines may call it at once, and no transaction is open meanwhile.
type Creator interface {
	// Create returns the user that the application has for the identity, and makes it
	// where there is none. It is called again whenever an answer was lost, so that it
	// must give the same user each time.
	//
	// An error that matches [ErrCannotCreate] is the application's no: its text goes
	// into a finding, so that it must hold no secret and no trait. Any other error
	// means that nothing is known; it is handed on as [ErrUnavailable], and whatever
	// comes next asks again.
	Create(ctx context.Context, id Identity) (UserID, error)
}

// Ory is what the linker asks of Ory. *ory.Client is one.
type Ory interface {
	// HasAdmin reports whether the admin API is configured. Without it the other
	// methods return ErrNoAdmin.
	HasAdmin() bool

	// Identity reads one identity over the admin API. ErrNotFound is returned for
	// Kratos' own 404 and nothing else; whatever leaves doubt is ErrUnavailable.
	Identity(ctx context.Context, id IdentityID) (Identity, error)

	// AddPublicMetadata sets metadata_public.<key> by one JSON Patch "add" and
	// returns what Ory then holds.
	AddPublicMetadata(ctx context.Context, id IdentityID, key, value string) (Identity, error)
}
