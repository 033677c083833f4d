package symbolon

// Query says what to read of the world for one decision.
type Query struct {
	Project string
	Reading Reading

	// Claims are the user IDs that the identity's metadata speaks of.
	Claims []UserID

	// Emails are the e-mail addresses for which rows are looked, as NormalEmail makes
	// them; none unless the policy on e-mail is on.
	Emails []string
}

// Held is what the store knows when a decision is taken.
type Evidence struct {
	Link *Link // the ledger's entry for the identity; nil: none yet
	User *Row  // the application's row of Link.User; nil: there is none
	Row  *Row  // the row whose identity column holds this identity; nil: none

	// Claims answers Query.Claims, one for one.
	Claims []Claimed

	// Matches answers Query.Emails, up to three rows for each address. It is read only
	// where the identity has no user yet.
	Matches []Match

	// Conflicts counts the refused claims of the past hour, Users the linked users
	// of the project. Both are read only where a claim names an existing user, and
	// Users need not be counted beyond 100 × (Conflicts + 1), where it decides nothing.
	Conflicts, Users int
}

// Entry is what is held of one identity that the ledger knows, as a comparison of
// everybody needs it. Link is never nil; Claims, Conflicts and Users are not filled,
// and neither are User and Row.Linked where the state is not [Linked].
type Entry struct {
	Evidence

	// Digest tells what Ory was last seen to hold of the projected columns; empty:
	// nothing was ever written to them.
	Digest string

	// LeftOut says that some of it could not be written; open findings say why.
	LeftOut bool

	// Active is what the row's column that is filled from "active" says; nil where
	// there is no such column, or no row.
	Active *bool
}

// Row is one of the application's users.
type Row struct {
	ID       UserID
	Identity IdentityID // what its identity column says; empty: null
	Linked   IdentityID // which identity the ledger binds to it; empty: none
}

// Owner is the identity that has this user, by the application's word or else by
// the ledger's.
func (r *Row) Owner() IdentityID {
	if r.Identity != "" {
		return r.Identity
	}
	return r.Linked
}

// Claimed is what is known of a user ID that an identity's metadata speaks of.
type Claimed struct {
	Row     *Row       // the user with this ID; nil: there is none
	Linked  IdentityID // which identity the ledger binds to this ID, row or no row
	Retired bool       // the ID was a user's once and is never given out again
}

// Owner is the identity that has the claimed ID, or empty.
func (c Claimed) Owner() IdentityID {
	if c.Row != nil {
		return c.Row.Owner()
	}
	return c.Linked
}
