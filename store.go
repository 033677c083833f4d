package symbolon

import (
	"context"
	"database/sql"
)

// NewID says where the IDs of new users come from.
type NewID string

const (
	ByMint     NewID = "uuidv7"   // Symbolon mints a UUIDv7; uuid and text keys only. The default
	ByDatabase NewID = "database" // the table's own default: a serial, gen_random_uuid(), …
	ByIdentity NewID = "identity" // the user's ID is the identity's ID; uuid and text keys only

	// ByApplication: the application makes its users itself, when [Linker.Creator]
	// asks it to. Of them the store keeps the ID and the identity, and nothing more.
	ByApplication NewID = "create_url"
)

// Store keeps the ledger beside the application's users. Package sqlstore has the
// one for SQLite and Postgres; symbolontest.TestStore proves any other.
//
// Every method may be called by many goroutines and many processes at once. An
// error means that nothing is known; anything that is known, "there is none" included,
// is a value. Errors that a retry may mend match [ErrUnavailable]: a commit to which no
// answer came may have been carried out then, or be so a moment later. After any other
// error nothing was changed.
type Store interface {
	// NewID says where the store takes the IDs of new users from.
	NewID() NewID

	// Ticket returns a number larger than every one returned before it, to any
	// process that uses the same store.
	Ticket(ctx context.Context) (Ticket, error)

	// Look returns what is held of an identity. It writes nothing.
	Look(ctx context.Context, q Query) (Held, error)

	// Write locks the identity's entry, reads what is held of it, asks decide what
	// to do, does it and records it (events, findings), all in one transaction.
	// When what decide relied on turns out to be taken by somebody else (another
	// identity was given the same user a moment ago), it reads again and decide is
	// called again: it must be free of side effects. Calls for one identity happen
	// one after another. An error of decide undoes everything and is returned.
	Write(ctx context.Context, q Query, decide func(Held) (Plan, error)) (Outcome, error)

	// Forget records in the application's own transaction that it deletes a user:
	// the bond ends and the ID is never given out again. Forgetting a user that was
	// never linked still retires the ID. Call it before the row is deleted, so that
	// all transactions take their locks in one order.
	Forget(ctx context.Context, tx Execer, project string, user UserID) error

	// Record returns everything known of the person that id names, be it an
	// identity's ID or a user's. ErrNotFound: neither half is known.
	Record(ctx context.Context, project, id string) (Record, error)
}

// Execer is the part of a transaction that [Store.Forget] needs. *sql.Tx is one;
// sqlstore/pgxtx makes one of a pgx.Tx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Query says what to read of the world for one decision.
type Query struct {
	Project string
	Seen    Seen

	// Claims are the user IDs that the identity's metadata speaks of.
	Claims []UserID

	// Emails are the e-mail addresses for which rows are looked, as NormalEmail makes
	// them; none unless the policy on e-mail is on.
	Emails []string
}

// Held is what the store knows when a decision is taken.
type Held struct {
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
	Held

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
	Bury    Action = "bury"    // the bond is over: the entry becomes State, the row follows Row
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
