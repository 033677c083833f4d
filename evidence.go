package symbolon

// Query says which evidence a decision needs.
type Query struct {
	Project string
	Reading Reading

	// Claims are the user IDs that the identity's metadata names. An empty one asks
	// nothing.
	Claims []UserID

	// Emails are the identity's e-mail addresses, as [NormalEmail] returns them. There
	// are none unless the policy trusts verified e-mail.
	Emails []string
}

// Evidence is what the store knows of an identity, all read at one moment.
type Evidence struct {
	Link *Link // the identity's entry in the ledger; nil: none
	User *Row  // the row of Link.User; nil: none
	Row  *Row  // the row whose identity column holds this identity; nil: none

	// Claims answers Query.Claims, in the same order.
	Claims []Claimed

	// Matches answers Query.Emails, up to three rows for each address. It may be left out
	// if the identity has a user.
	Matches []Match

	// Conflicts counts the refused claims of the past hour, and Users the linked users of
	// the project. Both may be left out unless a claim names an existing user. Users need
	// not be counted beyond 100 × (Conflicts + 1), because a larger number decides nothing.
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
