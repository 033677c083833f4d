package symbolon

// Action is what a plan does.
type Action string

const (
	Keep    Action = "keep"    // the bond stands; write nothing
	Update  Action = "update"  // the bond stands; write the projected columns and the ticket
	Create  Action = "create"  // make a user and bind it
	Attach  Action = "attach"  // bind an existing user: set its identity column if it is not
	Hold    Action = "hold"    // no user until an operator settles it
	Deny    Action = "deny"    // there was a user, and it must not be handed out
	Detach  Action = "detach"  // undo an adoption: end the bond, as if it had not been; Reason: on hold again
	Confirm Action = "confirm" // the bond stands; remember BackReference as ours
	End     Action = "bury"    // the bond is over: the entry becomes State, the row follows Row
)

// Plan is a decision: what a store has to do, and what it records beside it.
type Plan struct {
	Action Action

	// User is the user to attach, or the ID to create. Empty with Create: the
	// database chooses.
	User UserID

	// Retire is the identity's former user, never to be given out again.
	Retire UserID

	// Release is the identity that loses the user to this one: by the operator's
	// word only. Its entry is put on hold with the finding Moved; with ReleaseGone it
	// becomes [Gone] instead.
	Release     IdentityID
	ReleaseGone bool

	// State and Row are for Bury: what the entry becomes, Gone or Erased, and what
	// happens to the row of User that holds this identity; empty: nothing.
	State LinkState
	Row   RowPolicy

	// Clear, with Detach, makes the row's identity column null.
	Clear bool

	// Run is the adoption run that this plan is part of; empty: none. A store records
	// it with every event. Adopted, with Attach, is recorded with the event UserLinked.
	Run     string
	Adopted *AdoptedBond

	// Conflict says that a claim on an existing user is not followed: recorded as
	// the event ClaimRefused, which Held.Conflicts counts.
	Conflict bool

	// BackReference is the value that Ory was seen to hold or was given. A store
	// keeps it in the ledger; empty changes nothing.
	BackReference string

	Findings []Finding // to be opened unless they are open already
	Reason   FindingKind
	Why      string // for the events; one sentence
	Err      error  // with Hold and Deny: what the caller is told
}

// Outcome is what Write did.
type Outcome struct {
	Link Link
	Plan Plan // the last one that decide returned
	New  bool // the bond was made by this call

	// Opened are the findings that this call opened; those of the plan that were
	// open already are not among them.
	Opened []Finding
}
