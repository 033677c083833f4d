package symbolon

import (
	"time"
)

// LinkState is the state of an identity's entry in the ledger.
type LinkState string

const (
	Linked    LinkState = "linked"    // identity and user are bound
	OnHold    LinkState = "held"      // no user until an operator settles it; Reason says why
	Forgotten LinkState = "forgotten" // the application deleted its user
	Gone      LinkState = "gone"      // Ory no longer has the identity: that was proved
	Erased    LinkState = "erased"    // both halves were erased, by the operator's word
)

// Link is the bond of one identity and one user: an entry of the ledger.
type Link struct {
	Project       string
	Identity      IdentityID
	User          UserID // empty while held without ever having been linked
	State         LinkState
	Reason        FindingKind // why it is held
	Source        Source      // how it was made
	At            time.Time   // when it was made
	Ticket        Ticket      // of the newest reading written to the user's columns
	BackReference string      // the value that Symbolon saw at or wrote to Ory for this identity
}
