package symbolon

import (
	"context"
)

// Reading is one reading of an identity at Ory.
type Reading struct {
	Identity Identity

	// Ticket was taken from the store before the identity was read. A reading without a
	// ticket may make a bond, but never updates the columns of a user.
	Ticket Ticket

	// Source is why the identity was read.
	Source Source

	// Admin says that the identity was read over the admin API. Only then does a missing
	// metadata_admin mean that the identity has none.
	Admin bool

	// Rewrite writes the projected columns even if the ledger says that they hold these
	// values, because somebody else has changed them.
	Rewrite bool
}

// Source says why an identity was read. The ledger and every event keep it.
type Source string

const (
	FromRequest   Source = "request"   // a request with a session of the identity
	FromLinkHook  Source = "link"      // Ory's hook after it stored an identity
	FromSyncHook  Source = "sync"      // Ory's hook after settings, verification, recovery
	FromOperator  Source = "operator"  // the command line or the admin API
	FromReconcile Source = "reconcile" // a comparison of all identities with the ledger
	FromAdopt     Source = "adopt"     // an operator's plan for users that existed before
)

// Ticket orders readings of Ory. A reading with a lower ticket never overwrites a reading
// with a higher one, even if it is committed later. Zero means no ticket.
type Ticket int64

type readingKey struct{}

// WithReading returns a context that carries r. The Linker gives it to [Store.Write], so
// that the store's OnLink can see the identity that is being linked.
func WithReading(ctx context.Context, r Reading) context.Context {
	return context.WithValue(ctx, readingKey{}, r)
}

// ReadingFrom returns the reading of the identity that is being linked. It returns false
// outside of the transaction of a bond.
func ReadingFrom(ctx context.Context) (Reading, bool) {
	r, ok := ctx.Value(readingKey{}).(Reading)
	return r, ok
}
