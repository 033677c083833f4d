package symbolon

import (
	"strings"
	"time"
)

// LinkState is the state of an identity's entry in the ledger.
type LinkState string

const (
	Linked    LinkState = "linked"    // the identity has its user
	OnHold    LinkState = "held"      // the identity gets no user until an operator decides; Reason says why
	Forgotten LinkState = "forgotten" // the application deleted its user
	Gone      LinkState = "gone"      // Ory no longer has the identity, which was proved
	Erased    LinkState = "erased"    // the operator erased the person

	// Also: the identity signs in as a user whose primary identity is another one, because an
	// operator or the application named it. Its end, its data and its state at Ory change no
	// row.
	Also LinkState = "also"
)

// Link is the bond of one identity and one user: an entry of the ledger. A user has at most
// one link in the state [Linked], which is the link of its primary identity.
type Link struct {
	Project       string
	Identity      IdentityID
	User          UserID // empty while on hold, if the identity never had a user
	State         LinkState
	Reason        FindingKind // why it is on hold
	Source        Source      // of the reading that made the bond
	At            time.Time   // when it was made
	Ticket        Ticket      // of the newest reading written to the user's columns
	BackReference string      // the user's ID, if Symbolon saw it at Ory or wrote it there
}

// Entry is one entry of the ledger, with the data that reconcile compares. Its Link is
// never nil. Claims, Matches, Conflicts and Users are empty. User and Row.Linked are empty
// unless the state is [Linked].
type Entry struct {
	Evidence

	// Digest is a hash of the values at Ory that were last written to the projected
	// columns. Empty: none were written.
	Digest string

	// Address is the record of the verified e-mail address (Query.Address), if it was made
	// from the newest reading that was written. Empty: there is none.
	Address string

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

	// Also are the entries of the user's further identities, also of those that have ended.
	Also []Link

	// MergedInto is the user into which this one was merged, and MergedBy is the identity that
	// it had. Empty: it was not merged, or the merge was undone.
	MergedInto UserID
	MergedBy   IdentityID
}

// Proof is the kind of evidence that an identity and an existing user belong to the same
// person. It is one of the constants, "metadata_public.KEY" or "column:NAME".
type Proof string

const (
	ByIdentityColumn Proof = "identity_column" // the row's identity column holds the identity's ID
	ByVoucher        Proof = "voucher"         // metadata_admin.symbolon
	ByExternalID     Proof = "external_id"     // the identity's external_id is the user's ID
	ByVerifiedEmail  Proof = "verified_email"  // the same address, verified on both sides; see decide.JudgeEmail
)

const (
	metadataProof = "metadata_public."
	columnProof   = "column:"
)

// MetadataKey is KEY of "metadata_public.KEY".
func (p Proof) MetadataKey() (string, bool) { return strings.CutPrefix(string(p), metadataProof) }

// Column is NAME of "column:NAME": a column of the users table, other than the identity
// column, that holds identity IDs.
func (p Proof) Column() (string, bool) { return strings.CutPrefix(string(p), columnProof) }

// Adoption is one line of an operator's plan: this identity and this user belong to the
// same person, and By is the proof.
type Adoption struct {
	Identity IdentityID
	User     UserID
	By       Proof

	// Run names the run that applies the plan: up to 64 lower-case letters, digits and
	// hyphens. The history keeps it with every bond, so that the run can be undone.
	Run string
}

// AdoptedBond is the data about a bond that is needed to undo its adoption. The store keeps
// it with the event, in the transaction that made the bond.
type AdoptedBond struct {
	By        Proof       `json:"by"`
	ColumnSet bool        `json:"column_set"`  // the run filled the row's identity column, which was null
	WasOnHold FindingKind `json:"was_on_hold"` // why the identity was on hold before; empty: it was not
}

// BindOptions are the options of link.Linker.Bind.
type BindOptions struct {
	// Move allows the bind to end two other links: the user's link with an identity that
	// Ory still has, and the identity's link with another user. Without Move such a bind is
	// a *ConflictError.
	Move bool

	// Also binds the identity as a further one. The user keeps its primary identity. The call
	// then needs Ory's admin API, and both identities must be active there.
	Also bool

	// Why is kept in the history: a ticket number, never a person's name or address. See
	// link.CheckWhy.
	Why string
}
