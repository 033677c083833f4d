package symbolon

import (
	"time"
)

// LinkState is the state of an identity's entry in the ledger.
type LinkState string

const (
	Linked    LinkState = "linked"    // the identity has its user
	OnHold    LinkState = "held"      // it gets no user until an operator settles it; Reason says why
	Forgotten LinkState = "forgotten" // the application deleted its user
	Gone      LinkState = "gone"      // Ory no longer has the identity, which was proved
	Erased    LinkState = "erased"    // the operator erased the person
)

// Link is the bond of one identity and one user: an entry of the ledger.
type Link struct {
	Project       string
	Identity      IdentityID
	User          UserID // empty while on hold, if the identity never had a user
	State         LinkState
	Reason        FindingKind // why it is on hold
	Source        Source      // of the reading that made it
	At            time.Time   // when it was made
	Ticket        Ticket      // of the newest reading written to the user's columns
	BackReference string      // the user's ID, if Symbolon saw it at Ory or wrote it there
}

// Entry is what a comparison of all identities needs to know of one that the ledger has.
// Its Link is never nil. Claims, Matches, Conflicts and Users are empty. User and
// Row.Linked are empty unless the state is [Linked].
type Entry struct {
	Evidence

	// Digest is a hash of the values at Ory that were last written to the projected
	// columns. Empty: none were written.
	Digest string

	// LeftOut says that some of the values could not be written; open findings say why.
	LeftOut bool

	// Active is the value of the column that is filled from "active". Nil: there is no
	// such column, or no row.
	Active *bool
}

// Record is all that the store knows of one person.
type Record struct {
	Link     *Link // nil: the ledger has no entry
	Row      *Row  // the application's row; nil: none
	Findings []Finding
	Events   []Event // the newest 100, oldest first
}
