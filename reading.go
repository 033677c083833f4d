package symbolon

import (
	"context"
)

type readingKey struct{}

// WithSeen returns a context that carries what was seen at Ory. The Linker gives it
// to [Store.Write], so that a store's OnLink can look at the identity that is being
// linked.
func WithReading(ctx context.Context, seen Reading) context.Context {
	return context.WithValue(ctx, readingKey{}, seen)
}

// SeenFrom returns what was seen at Ory of the identity that is being linked. The
// second result is false outside of a bond's transaction.
func ReadingFrom(ctx context.Context) (Reading, bool) {
	seen, ok := ctx.Value(readingKey{}).(Reading)
	return seen, ok
}

// Way says how an identity came to be looked at. It is kept in the ledger and in
// every event.
type Source string

const (
	FromRequest   Source = "request"   // a request came with a session of the identity
	FromLinkHook  Source = "link"      // Ory's hook after it stored an identity
	FromSyncHook  Source = "sync"      // Ory's hook after settings, verification, recovery
	FromOperator  Source = "operator"  // the command line or the admin API
	FromReconcile Source = "reconcile" // a comparison of all identities with the ledger
)

// Ticket orders readings of Ory: whatever commits last, a reading with a lower
// ticket never overwrites one with a higher. Zero means that none was taken.
type Ticket int64

// Seen is one reading of an identity at Ory.
type Reading struct {
	Identity Identity

	// Ticket was taken from the store before the read began. With zero the
	// reading may make a link but never updates the user's columns.
	Ticket Ticket

	// Way is how we came to look.
	Source Source

	// Admin says that the identity was read over the admin API, so that an
	// absent metadata_admin is really absent.
	Admin bool

	// Rewrite writes the projected columns even where the ledger says that they hold
	// what was read: somebody else has written them since.
	Rewrite bool
}
