package symbolon

// Action is what a [Store] does with a [Plan].
type Action string

const (
	Keep    Action = "keep"    // write no bond; only open the findings
	Update  Action = "update"  // write the projected columns and the ticket of an existing bond
	Create  Action = "create"  // make a user and link it
	Attach  Action = "attach"  // link an existing user, and fill its identity column
	Hold    Action = "hold"    // put the identity on hold: no user until an operator decides
	Wait    Action = "wait"    // write nothing at all: no user until the project's start is settled
	Deny    Action = "deny"    // leave the bond as it is, but hand its user out to nobody
	Detach  Action = "detach"  // undo an adoption: remove the bond, or, if Reason is set, put the identity on hold again
	Confirm Action = "confirm" // record BackReference in the entry of an existing bond
	End     Action = "end"     // end the bond: set the entry's state to Plan.State, and apply the policy Plan.Row to the row
)

// Plan is a decision: what a [Store] writes and records in one transaction.
type Plan struct {
	Action Action

	// User is the user to link, or the ID of the user to create. With Create it may be
	// empty: then the database chooses the ID.
	User UserID

	// Reserved is used by Create only. It says that User was drawn from the database in
	// advance, and that no user is known to have had it. The store makes the user with this
	// ID, or makes none: if it finds that the ID was used, or if the table gives the row
	// another ID, it rolls back and decides again with Evidence.Unusable.
	Reserved bool

	// Retire is the identity's former user. Its ID is never given out again. Further identities
	// of this user go to the new user.
	Retire UserID

	// Also is used by Attach only. The identity becomes a further one of User, whose row is not
	// changed. With Retire the former user is merged into User: its row is deactivated and
	// loses its identity.
	Also bool

	// Revive is used by Attach only. It says that User was merged into the identity's present
	// user, and that the merge is undone: the ID is not retired any more.
	Revive bool

	// Release is the user's former identity, which loses the user to this one. It is put on
	// hold with the finding Moved, because the operator bound its user to another identity.
	// If ReleaseGone is set, the former identity was proved gone, and its entry becomes
	// [Gone] instead.
	Release     IdentityID
	ReleaseGone bool

	// State and Row are used by End only. State is the new state of the entry: Gone or
	// Erased. Row is the policy for the row of User, if that row holds this identity. An
	// empty Row leaves the row as it is.
	State LinkState
	Row   RowPolicy

	// Clear is used by Detach only: it sets the row's identity column to null.
	Clear bool

	// Run is the adoption run that the plan belongs to; empty: none. A store records it
	// with every event. Adopted is used by Attach only, and is recorded with the event
	// UserLinked.
	Run     string
	Adopted *AdoptedBond

	// Conflict says that a claim on an existing user was refused. It is recorded as the
	// event ClaimRefused, which Evidence.Conflicts counts.
	Conflict bool

	// BackReference is the value that Ory holds. A store keeps it in the ledger. Empty
	// changes nothing.
	BackReference string

	Findings []Finding   // to be opened unless they are open already
	Reason   FindingKind // of Hold and Deny; of Detach, if the identity was on hold before
	Why      string      // one sentence, for the events
	Err      error       // what the caller gets after the plan was carried out; always set with Hold and Deny
}

// Outcome is what [Store.Write] did.
type Outcome struct {
	Link Link
	Plan Plan // the plan that was applied: the last one that decide returned
	New  bool // this call made the bond

	// Opened are the findings that this call opened. It leaves out the plan's findings
	// that were open already.
	Opened []Finding
}
