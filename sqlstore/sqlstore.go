// Package sqlstore has the [symbolon.Store] for a *sql.DB. It uses the application's own
// database, SQLite or Postgres, and the application's own users table.
//
//	store := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres, Users: sqlstore.Users{
//		Table: "accounts", Identity: "ory_identity_id", NewID: sqlstore.ByDatabase,
//		Columns: map[string]string{"email": "traits.email"}}, OnLink: makeOrg}
//
// The link, the user's row, the history and OnLink's writes are one transaction, so either
// all of them exist or none.
//
//	begin
//	insert the identity's entry, or touch it    locks it; SQLite needs a write first
//	select entry, row, claim                    the evidence
//	    decide                                  pure, may run again
//	insert or update the user's row
//	update the entry, insert events, findings
//	    OnLink
//	commit
//
// On Postgres, with a pool of pgxtx.OpenDB and without OnLink, all statements before decide
// are one round trip, and all after it are another one.
//
// The migrations in [Migrations] make the tables. Package migrate or the application's own
// tool runs them; a Store never makes or alters a table. [Store.Check] reports everything
// that is missing.
//
// The package imports no driver. It is tested with github.com/jackc/pgx/v5/stdlib and
// modernc.org/sqlite.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Migrations make Symbolon's own tables. They are in goose's format, in the folders
// "sqlite" and "postgres". Package migrate runs them. An application can also run them with
// its own tool, if the tool reads this format.
//
//go:embed sqlite/*.sql postgres/*.sql
var Migrations embed.FS

// Dialect is the kind of database.
type Dialect string

const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// The source of new users' IDs; see [symbolon.NewID].
const (
	ByMint        = symbolon.ByMint
	ByDatabase    = symbolon.ByDatabase
	ByIdentity    = symbolon.ByIdentity
	ByApplication = symbolon.ByApplication
	ByProgram     = symbolon.ByProgram
)

// Store keeps the ledger in the application's database. Set the fields before the first call
// and do not change them afterwards. Many goroutines may then call every method, and many
// processes may use the same database. DB and Dialect are required.
//
// Danger: do not call a method while you hold an open transaction. On SQLite, or with an
// exhausted pool, the method and your transaction would wait for each other. [Store.Forget] is
// the exception.
type Store struct {
	// DB is the application's database. On SQLite open it with [SQLiteDSN].
	DB *sql.DB

	Dialect Dialect

	// Users describes the application's users table.
	Users Users

	// DrawDB is a second pool on the same Postgres database. The reserve hook draws the IDs
	// of future users from it if the database makes the IDs, at most four at once. A pool of
	// its own keeps a sign-up from waiting for other requests. nil: no IDs are drawn, and
	// with NewID ByDatabase none are reserved.
	DrawDB *sql.DB

	// OnLink is called at the end of the transaction that makes a link. Its writes through
	// tx are committed with the link or not at all. An error rolls the link back, so the
	// person has no user until OnLink succeeds. OnLink may be called again for the same
	// identity after a conflict or a lost commit. It must not call tx.SQL().Commit.
	OnLink func(ctx context.Context, tx *Tx, link symbolon.Link) error

	// OnMerge is called at the end of the transaction that merges the user from into the user
	// into, so that the application moves its own data of from. Its writes are committed with
	// the merge or not at all. Like OnLink it may be called again, and must not commit.
	OnMerge func(ctx context.Context, tx *Tx, from, into symbolon.UserID) error

	// OnUnmerge is called in the same way when a merge is undone in which OnMerge was called.
	// nil: such a merge cannot be undone.
	OnUnmerge func(ctx context.Context, tx *Tx, from, into symbolon.UserID) error

	// OnFaults is called when the faults of the users table that the store has noticed have
	// changed; see [Store.TableFaults]. It must not call the store. nil: nothing is called.
	OnFaults func(faults []*Fault)

	// Now defaults to time.Now.
	Now func() time.Time

	once   sync.Once
	faults []error // errors in the fields; every method returns them
	sql    statements

	writer chan struct{} // nil on Postgres
	draws  chan struct{} // the places of Draw
	behind chan struct{} // a place for each transaction that must leave connections to requests; nil: no limit

	drawAgain atomic.Int64 // when the next ID may be drawn by an expression, in Unix nanoseconds

	prepared prepared

	shape   atomic.Pointer[shape] // the shape of the users table, after it was read
	reading chan struct{}         // held while the shape is read
	state   tableState
}

var _ symbolon.Store = (*Store)(nil)

// NewID returns the source of new users' IDs.
func (s *Store) NewID() symbolon.NewID {
	return s.Users.newID()
}

// Ticket returns a number larger than every earlier ticket.
func (s *Store) Ticket(ctx context.Context) (symbolon.Ticket, error) {
	return retryRead(ctx, s, "take a ticket", func(waiting context.Context) (symbolon.Ticket, error) {
		release, _, err := turn(waiting, s.writer)
		if err != nil {
			return 0, err
		}
		defer release()
		return scanOne[symbolon.Ticket](session{store: s}.queryRow(waiting, s.sql.ticket))
	})
}

// Read returns the evidence about an identity. It takes one round trip if the identity claims
// at most one user. A request of an identity that has no user yet takes two, because Read
// first looks for the bond only.
func (s *Store) Read(ctx context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	if err := ready(&q); err != nil {
		return symbolon.Evidence{}, err
	}
	var held symbolon.Evidence
	err := s.withShape(ctx, func(shape *shape) (err error) {
		held, err = s.readEvidence(ctx, shape, q)
		return err
	})
	return held, err
}

func (s *Store) readEvidence(ctx context.Context, shape *shape, q symbolon.Query) (symbolon.Evidence, error) {
	r := reader{db: session{store: s}, shape: shape, now: s.now()}
	err := s.retry(ctx, func(waiting context.Context) error {
		if q.Reading.Source == symbolon.FromRequest { // most of these identities have their user already
			if stands, err := r.readBond(waiting, q); stands || err != nil {
				return err
			}
		}
		return r.read(waiting, q)
	})
	if err != nil {
		return symbolon.Evidence{}, unavailable("look for identity "+string(q.Reading.Identity.ID), err)
	}
	return r.held, nil
}

// ready checks a query.
func ready(q *symbolon.Query) error {
	if q.Project == "" {
		return errors.New("sqlstore: the query has no project")
	}
	id, err := symbolon.ParseIdentityID(string(q.Reading.Identity.ID))
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	q.Reading.Identity.ID = id
	return nil
}

func (s *Store) setup() error {
	s.once.Do(func() {
		if s.DB == nil {
			s.faults = append(s.faults, errors.New("sqlstore: DB is nil"))
		}
		if s.Dialect != SQLite && s.Dialect != Postgres {
			s.faults = append(s.faults, fmt.Errorf("sqlstore: dialect %q is neither sqlite nor postgres", s.Dialect))
		}
		s.faults = append(s.faults, s.Users.validate()...)
		if len(s.faults) > 0 {
			return
		}
		s.sql.assemble(s.Dialect, s.users())
		s.reading, s.draws = make(chan struct{}, 1), make(chan struct{}, maxDraws)
		if s.Dialect == SQLite {
			s.writer = make(chan struct{}, 1)
			s.behind = s.writer
		} else if limit := s.DB.Stats().MaxOpenConnections; limit > 0 {
			s.behind = make(chan struct{}, max(1, limit/2))
		}
	})
	return errors.Join(s.faults...)
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// SQLiteDSN returns the data source name for modernc.org/sqlite with the settings that the
// ledger needs: a write-ahead log, every commit on disk before it is acknowledged, a
// timeout of five seconds for locks, foreign keys, and no strings in double quotes. The
// argument more adds parameters of the driver, as "key=value".
//
// The pool may have any size, because readers never wait and Symbolon's own writers queue in
// memory. For the application's own transactions add "_txlock=immediate", or begin each one
// with a write, because a transaction that reads first fails as soon as another writer
// writes.
func SQLiteDSN(path string, more ...string) string {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_foreign_keys=on&_dqs=0"
	return strings.Join(append([]string{dsn}, more...), "&")
}
