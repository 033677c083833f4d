package symbolon

import (
	"encoding/json"
	"time"
)

// FindingKind names a difference between the two halves of a person.
type FindingKind string

const (
	// ForeignBackReference: metadata_public.id holds something that Symbolon did
	// not mint. The value stays; the identity has a user of its own.
	ForeignBackReference FindingKind = "foreign_back_reference"

	// MetadataNotObject: metadata_public is a string, a number or an array.
	MetadataNotObject FindingKind = "metadata_not_object"

	// MissingBackReference: the user's ID is not at Ory, and the write of it was given
	// up. A finding under WriteRepair only; nothing of ours depends on the value.
	MissingBackReference FindingKind = "missing_back_reference"

	// ClaimedByOther: the identity's claim or voucher names the user of another
	// living identity.
	ClaimedByOther FindingKind = "claimed_by_other"

	// RecreatedIdentity: the claim names the user of an identity that Ory no
	// longer has. Held until an operator binds it.
	RecreatedIdentity FindingKind = "recreated_identity"

	// VoucherVoid: metadata_admin.symbolon is not a voucher for a user that can
	// be bound.
	VoucherVoid FindingKind = "voucher_void"

	// UserGone: the row of a linked user is missing and nobody called Forget.
	UserGone FindingKind = "user_gone"

	// ColumnDisagrees: the identity column of the application's row says something
	// else than the ledger.
	ColumnDisagrees FindingKind = "column_disagrees"

	// DuplicateEmail: another row has the e-mail address; linked without it.
	DuplicateEmail FindingKind = "duplicate_email"

	// ColumnRefused: a projected value could not be written; linked without it.
	ColumnRefused FindingKind = "column_refused"

	// CannotCreate: the application's table refused the row itself.
	CannotCreate FindingKind = "cannot_create"

	// IdentityReturned: Ory has an identity again that was proved gone, or erased.
	IdentityReturned FindingKind = "identity_returned"

	// RowKept: the row of a user whose identity is gone could not follow the policy.
	// Under anonymise and delete the next reconcile tries again.
	RowKept FindingKind = "row_kept"

	// Moved: the operator bound the identity's user to another identity.
	Moved FindingKind = "moved"
)

// Finding is a difference between the halves that an operator should see. There
// is at most one open finding of a kind for an identity.
type Finding struct {
	ID       int64 // of the store's; 0 before it is recorded
	Kind     FindingKind
	Identity IdentityID
	User     UserID // empty when no user is concerned
	Detail   string // one sentence: what is so, and what mends it
	At       time.Time
}

// EventKind names a change of the bond.
type EventKind string

const (
	UserLinked    EventKind = "user.linked"    // an identity got its user
	UserUnlinked  EventKind = "user.unlinked"  // a bond that adopt made was undone
	UserUpdated   EventKind = "user.updated"   // projected columns were written
	UserRecreated EventKind = "user.recreated" // a deleted user was replaced by a new one
	UserForgotten EventKind = "user.forgotten" // the application deleted its user
	LinkHeld      EventKind = "link.held"      // the identity was put on hold
	LinkMoved     EventKind = "link.moved"     // the operator moved a bond
	IdentityGone  EventKind = "identity.gone"  // Ory no longer has the identity; its user's row followed the policy
	UserErased    EventKind = "user.erased"    // the operator erased the person
	ClaimRefused  EventKind = "claim.refused"  // a claim on an existing user was not followed
	FindingOpened EventKind = "finding.opened"
	FindingClosed EventKind = "finding.closed"
)

// Event is one line of the history, written in the transaction of the change.
type Event struct {
	ID       int64 // grows with time; positions for feeds come later
	At       time.Time
	Kind     EventKind
	Identity IdentityID
	User     UserID // after the change
	Before   UserID // before it, where that differs
	Way      Way
	Finding  FindingKind // of the finding events and of link.held
	Detail   string
}

// Record is all that is known of one person here.
type Record struct {
	Link     *Link // nil: the ledger has no entry
	Row      *Row  // the application's row, nil: none
	Findings []Finding
	Events   []Event // oldest first, the newest 100
}

// RunState is how a [Run] stands.
type RunState string

const (
	RunGoing  RunState = "running" // or it died: then its lease has ended
	RunDone   RunState = "done"
	RunFailed RunState = "failed" // it was given up, and is never taken up again
)

// Run is long work that is written down, so that whoever comes after a crash goes on
// where it was.
type Run struct {
	ID, Project, Kind string
	State             RunState
	Detail            string // of one that failed: why, in one sentence

	// Checkpoint says how far it is, in words of the kind's own. Empty: nowhere.
	Checkpoint json.RawMessage

	// LeaseUntil keeps two from working on one run. A lease that has ended may be
	// taken by anybody.
	LeaseUntil time.Time

	StartedAt, UpdatedAt, EndedAt time.Time
}

// FindingsQuery says which open findings are meant. They come in the order of
// identity and kind.
type FindingsQuery struct {
	Project string
	Kind    FindingKind // empty: all

	// After and AfterKind are the last finding of the page before; with AfterKind
	// empty everything of the identity After is behind it.
	After     IdentityID
	AfterKind FindingKind

	Upto  IdentityID // the last identity; empty: to the end
	Limit int        // at least 1
}

// ErasureStep is what an [Erasure] has to do next. The steps come in this order.
type ErasureStep string

const (
	EraseDeny     ErasureStep = "deny"     // end the bond: whoever signs in is denied from now on
	EraseSessions ErasureStep = "sessions" // end the identity's sessions at Ory
	EraseIdentity ErasureStep = "identity" // delete the identity at Ory, and read back that it is gone
	EraseRow      ErasureStep = "row"      // anonymise or delete the user's row, and read back that it is so
	EraseScrub    ErasureStep = "scrub"    // clear what Symbolon itself has noted of the person
	EraseDone     ErasureStep = "done"     // nothing is left to do

	// EraseWithdrawn ends an erasure that found another bond than it was asked to end,
	// before it had changed anything: the operator has to say which person is meant.
	EraseWithdrawn ErasureStep = "withdrawn"
)

// Erasure is the record of one erasure: the intent, written before anything is
// changed; how far it is; and the evidence, which stays. It holds nothing about the
// person but the two IDs. Package erase carries it out.
type Erasure struct {
	ID       string
	Project  string
	Identity IdentityID // empty: the user has none
	User     UserID     // empty: the identity has none
	Row      RowPolicy  // AnonymiseRow or DeleteRow
	Why      string     // the operator's words; kept

	Step     ErasureStep // the next one
	Evidence []ErasureNote

	Attempts  int    // at Step, that failed
	LastError string // of the last of them

	RequestedAt time.Time
	UpdatedAt   time.Time
	DoneAt      time.Time // zero while there is something left to do
}

// Done reports whether nothing is left to do.
func (e Erasure) Done() bool { return !e.DoneAt.IsZero() }

// ErasureNote says what a step did, and when it was done.
type ErasureNote struct {
	Step    ErasureStep    `json:"step"`
	At      time.Time      `json:"at"`
	Outcome string         `json:"outcome"`          // one sentence
	Counts  map[string]int `json:"counts,omitempty"` // events, findings and the like that are cleared
	Tries   int            `json:"tries"`            // how many it took; 1 at best
}
