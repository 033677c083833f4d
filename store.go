package symbolon

import (
	"context"
	"database/sql"
	"time"
)

// Store keeps the ledger beside the application's users. Package sqlstore has the store
// for SQLite and Postgres; symbolontest.TestStore tests any other.
//
// Every method may be called by many goroutines and many processes at once. A missing entry
// or row is a value, not an error. An error means that nothing is known. If it matches
// [ErrUnavailable] a retry may succeed; the change may have been committed all the same, or
// may be committed a moment later. After any other error nothing was changed.
type Store interface {
	// NewID says where the IDs of new users come from.
	NewID() NewID

	// Ticket returns a number larger than every number it returned before, to any process
	// that uses the same database.
	Ticket(ctx context.Context) (Ticket, error)

	// Read returns the evidence about an identity. It writes nothing.
	Read(ctx context.Context, q Query) (Evidence, error)

	// Write decides and writes in one transaction. It locks the identity's entry, reads
	// the evidence, calls decide, applies the plan, and records its events and findings.
	// Calls for one identity run one after another.
	//
	// decide must have no side effects, because it may be called again: if another
	// identity got the same user meanwhile, Write reads the evidence anew. An error of
	// decide rolls the transaction back and is returned.
	//
	// With Query.AskHolders the error may be a *[TakenError]: another identity must be read
	// at Ory first, and nothing was written.
	Write(ctx context.Context, q Query, decide func(Evidence) (Plan, error)) (Outcome, error)

	// Forget records in the application's own transaction that the application deletes a
	// user. The bond ends, and the ID is never given out again, even if the user was never
	// linked. Call it before the row is deleted, so that all transactions lock in one
	// order. Sessions that are cached elsewhere are not purged; see link.Linker.Forget.
	Forget(ctx context.Context, tx Execer, project string, user UserID) error

	// Record returns all that is known of a person. The id is an identity's ID or a
	// user's. ErrNotFound: neither an identity nor a user with this ID is known.
	Record(ctx context.Context, project, id string) (Record, error)

	// Start returns the project's start. The first call for a project records it, and
	// settles it if every row of the users table has an identity. A later call reads the
	// record only. If several processes call Start at once, they get the same start.
	Start(ctx context.Context, project string) (Start, error)

	// Settle settles the project's start, and returns it. A start that is settled already
	// stays as it is. by is one lower-case word.
	Settle(ctx context.Context, project, by string) (Start, error)
}

// Start is the beginning of a project's ledger. Until the start is settled, an identity that
// is older than the ledger gets no new user, because it may belong to a user that existed
// before Symbolon. A bond, an adoption or an order settles it for
// good; see sqlstore.Store.Begin for the one case in which it becomes unsettled again.
type Start struct {
	// CreatedAt is when the project's ledger was made, by the clock of the database.
	CreatedAt time.Time

	SettledAt time.Time // by the clock of the database; zero: the start is not settled
	SettledBy string    // why: no_rows, bonds, adopt, start_fresh
}

// Settled reports whether identities that are older than the ledger get new users.
func (s Start) Settled() bool { return !s.SettledAt.IsZero() }

// Execer is the part of a transaction that [Store.Forget] needs. *sql.Tx is an Execer;
// sqlstore/pgxtx makes an Execer of a pgx.Tx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// BulkStore is a [Store] that can also make many users at once. The Linker checks by a type
// assertion whether its store can.
type BulkStore interface {
	// CreateAll links the identities that have no evidence at all: no entry, no row, and no
	// claim with a row, a bond or a retired ID. The queries name each identity once, by its
	// canonical ID; one transaction holds a few hundred of them.
	//
	// decide is called for each such identity, in any order, with the index of its query
	// and with empty evidence. It must have no side effects. If its plan is Create without
	// a conflict, a finding, a reserved ID or an ID to retire, the bond is made exactly as
	// Write would make it, OnLink included.
	//
	// The outcomes are in the order of the queries. A zero Outcome means that the identity
	// was not linked here and is left to Write: it has evidence, its plan is not such a
	// Create, the table refused its row, or another call was faster. Each bond is made
	// completely or not at all.
	//
	// After an error the remaining identities were not tried. The outcomes hold the bonds
	// that were made before. Whether the failed transaction was committed may be unknown.
	CreateAll(ctx context.Context, qs []Query, decide func(n int, e Evidence) Plan) ([]Outcome, error)
}
