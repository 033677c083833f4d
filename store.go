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

	// ByApplication: the application makes its users itself, when [link.Linker.Creator]
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
	Read(ctx context.Context, q Query) (Evidence, error)

	// Write locks the identity's entry, reads what is held of it, asks decide what
	// to do, does it and records it (events, findings), all in one transaction.
	// When what decide relied on turns out to be taken by somebody else (another
	// identity was given the same user a moment ago), it reads again and decide is
	// called again: it must be free of side effects. Calls for one identity happen
	// one after another. An error of decide undoes everything and is returned.
	Write(ctx context.Context, q Query, decide func(Evidence) (Plan, error)) (Outcome, error)

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

// BulkStore is what a [Store] may be as well: one that makes many users at once. It
// is found by a type assertion.
type BulkStore interface {
	// CreateAll makes users for those of many identities of whom nothing at all is
	// held: no entry, no row, and of no claim a row, a bond or a retired ID. decide is
	// asked about each of them, in any order, with the number of its query and with
	// such an empty Held; it must be free of side effects. Where it answers a Create
	// and nothing else (no conflict, no finding, nobody's ID to be retired) the bond
	// is made, and row for row what Write would have made of it, OnLink included.
	//
	// Outcomes answer the queries one for one. All others are left for Write, and
	// their Outcome is the zero value: who is held already, whose plan is another one,
	// whom the table refuses, for whom somebody else was faster. Each bond is whole or
	// not there. An error means that the rest was not tried; what was made before it
	// is among the outcomes, and stays; of the transaction that failed nothing may be
	// known. Queries name an identity once, in the canonical form of its ID; a few
	// hundred of them make one transaction.
	CreateAll(ctx context.Context, qs []Query, decide func(n int, h Evidence) Plan) ([]Outcome, error)
}
