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

	// Rewrite is set if another program has changed the projected columns. The store then
	// writes them even if the ledger says that they hold these values already.
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

// WithReading returns a context that carries r. The Linker gives this context to
// [Store.Write], so that the store's OnLink can see the identity that is being linked.
func WithReading(ctx context.Context, r Reading) context.Context {
	return context.WithValue(ctx, readingKey{}, r)
}

// ReadingFrom returns the reading of the identity that is being linked. It returns false
// outside of a transaction that links an identity.
func ReadingFrom(ctx context.Context) (Reading, bool) {
	r, ok := ctx.Value(readingKey{}).(Reading)
	return r, ok
}

// Query says which evidence a decision needs.
type Query struct {
	Project string
	Reading Reading

	// Claims are the user IDs that the identity's metadata names. An empty ID is not looked
	// up.
	Claims []UserID

	// Emails are the identity's e-mail addresses, as [NormalEmail] returns them. The list
	// is empty unless the policy trusts verified e-mail.
	Emails []string

	// Locks are other identities whose entries Write locks before it reads, if they exist. They
	// are the present identities of the users that the plan is about.
	Locks []IdentityID

	// Address is the record of the identity's verified e-mail address (mint.Minter.Addresses).
	// The store keeps it with the bond when it writes a reading with a ticket. Empty: none.
	Address string

	// Addresses are the records of all of the identity's e-mail addresses, by every secret. The
	// list is empty unless the policy looks for people who return.
	Addresses []string

	// Ends says that the caller ends the bond. A row that no condition of the application can
	// judge is then read like any other, because nobody is let in.
	Ends bool

	// AskHolders says that the caller can read other identities at Ory. If the table refuses
	// a value because the row of another linked identity holds it, Write then writes nothing
	// and returns a *[TakenError]. A store may ignore it.
	AskHolders bool

	// Others are readings of other identities, which a *[TakenError] named. If the row of
	// one of them holds a value of this identity that it no longer has at Ory, Write writes
	// both rows in one transaction. Each reading needs a ticket, and is ignored if a newer
	// one was written. A store that returns no TakenError may ignore them.
	Others []Reading
}

// Evidence is what the store knows of an identity, read in one consistent read.
type Evidence struct {
	Link *Link // the identity's entry in the ledger; nil: none
	User *Row  // the row of Link.User; nil: none
	Row  *Row  // the row whose identity column holds this identity; nil: none

	// Claims answers Query.Claims, in the same order.
	Claims []Claimed

	// Unusable says why the store could not make a user with the reserved ID of the previous
	// plan (Plan.Reserved). It is set only when the store decides again.
	Unusable string

	// Matches answers Query.Emails, up to three rows for each address. A store may leave it
	// empty if the identity has a user.
	Matches []Match

	// Ended answers Query.Addresses: the rows that still hold the identity of an entry that is
	// [Gone] and has one of the records, which is in Match.Email. A store may leave it empty if
	// the identity has a user.
	Ended []Match

	// Conflicts counts the refused claims of the past hour, and Users the linked users of
	// the project. A store may leave both zero unless a claim names an existing user. A
	// store may stop counting Users at 100 × (Conflicts + 1), because a larger number
	// changes no decision.
	Conflicts, Users int
}

// Claimed is what the store knows of a user ID that an identity's metadata names.
type Claimed struct {
	Row     *Row       // the user with this ID; nil: none
	Linked  IdentityID // linked to this ID by the ledger, even if there is no row; empty: none
	Retired bool       // the ID belonged to a user once and is never given out again
}

// Owner is the identity that has the claimed ID, or empty.
func (c Claimed) Owner() IdentityID {
	if c.Row != nil {
		return c.Row.Owner()
	}
	return c.Linked
}
