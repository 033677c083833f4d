// Package erase deletes a person: the identity at Ory, the user's row, and what Symbolon itself
// has recorded, in this order and with evidence.
//
//	erasures := &erase.Erasures{Linker: linker, Ory: client, Record: store, Users: store}
//	e, err := erasures.Begin(ctx, erase.Request{ID: "42", Why: "ticket 8812"})
//	e, err = erasures.Finish(ctx, e.ID)
//
// An erasure is a saga. Each step may be repeated, and is recorded before the next step
// begins. After a kill -9 any process continues with the first step that is not recorded:
//
//	         the intent is recorded; from here on the erasure is always carried to its
//	         end, or withdrawn before it changes anything
//	deny     the ledger says erased, the user's ID is retired, caches forget the identity
//	         and the user
//	sessions Ory revokes the identity's sessions
//	identity Ory deletes the identity; Kratos' own 404 is read back
//	row      the row is anonymised or deleted, and read back; the same for the row of each
//	         former user of the identity, if no identity has that user now
//	scrub    texts (the details of events and findings), digests and back-references in
//	         Symbolon's own tables are cleared
//	done     the evidence: each step and its time, without anything about the person
//
// An erasure is never abandoned. [Erasures.Resume] tries again what Ory, the database or the
// table refused. "Don't know" is never "gone": a 401, an HTML page or a proxy's 404 leaves a
// step undone.
package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Ory has the calls of Ory's API that change something. *ory.Client implements it. Reads go
// through Linker.Ory.
type Ory interface {
	// RevokeSessions revokes all sessions of an identity. It succeeds if there are none.
	RevokeSessions(ctx context.Context, id symbolon.IdentityID) error

	// DeleteIdentity deletes an identity. ErrNotFound means Kratos' own 404 and nothing
	// else.
	DeleteIdentity(ctx context.Context, id symbolon.IdentityID) error
}

// Record stores the erasures. *sqlstore.Store implements it.
type Record interface {
	// OpenErasure records a new erasure. If an erasure of the identity or the user is under
	// way, it records nothing and returns that erasure.
	OpenErasure(ctx context.Context, e symbolon.Erasure) (symbolon.Erasure, error)

	// Erasure returns an erasure by its ID. ErrNotFound: there is none.
	Erasure(ctx context.Context, project, id string) (symbolon.Erasure, error)

	// ErasureOf returns an identity's or a user's erasure that is under way, or else the
	// latest one. ErrNotFound: there is none.
	ErasureOf(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error)

	// UnfinishedErasures returns the erasures with steps left, the oldest first.
	UnfinishedErasures(ctx context.Context, project string) ([]symbolon.Erasure, error)

	// SaveErasure saves e if the stored erasure is still at the step in the parameter from.
	// If it is at a later step already, nothing is saved. saved says whether e was saved.
	SaveErasure(ctx context.Context, e symbolon.Erasure, from symbolon.ErasureStep) (saved bool, err error)
}

// Users is the part of the store that an erasure uses directly, without the Linker.
// *sqlstore.Store implements it.
type Users interface {
	User(ctx context.Context, project string, user symbolon.UserID) (symbolon.Claimed, error)

	// EraseUser retires a user's ID and applies a policy to the user's row. It finds the
	// row by the user's ID and not by the identity. refused says what the table refused.
	EraseUser(ctx context.Context, project string, user symbolon.UserID, identity symbolon.IdentityID, row symbolon.RowPolicy, why string) (refused string, err error)

	// LeftInRow names the columns that anonymising empties and that still hold a value.
	LeftInRow(ctx context.Context, user symbolon.UserID, identity symbolon.IdentityID) (exists bool, columns []string, err error)

	// FormerUsers reads the history. It returns the users, other than the given user, that
	// the identity had earlier and that no identity has now. A move leaves the rows of such
	// users behind.
	FormerUsers(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) ([]symbolon.UserID, error)

	// LastIdentity reads the history. It returns the identity that had a user last, or ""
	// if no identity ever had the user.
	LastIdentity(ctx context.Context, project string, user symbolon.UserID) (symbolon.IdentityID, error)

	// Scrub clears the personal data in Symbolon's own tables. It returns how many records
	// of each table are clear afterwards, including those that an earlier call cleared.
	Scrub(ctx context.Context, project string, identity symbolon.IdentityID, users ...symbolon.UserID) (map[string]int, error)

	// SomeLinked returns up to n identities that are linked to users.
	SomeLinked(ctx context.Context, project string, n int) ([]symbolon.IdentityID, error)
}

// Erasures runs erasures. The first four fields are required; set them before the first
// call. Many goroutines and processes may call every method at the same time. If two of
// them work on the same erasure, they may do a step twice, which is harmless.
type Erasures struct {
	Linker *link.Linker // with an admin URL
	Ory    Ory
	Record Record
	Users  Users

	// Log defaults to slog.Default(). It receives the person's IDs and no other personal
	// data.
	Log *slog.Logger

	// Now defaults to time.Now.
	Now func() time.Time
}

// Request names the person to erase.
type Request struct {
	// ID is a user ID or an identity ID.
	ID string

	// Row is AnonymiseRow or DeleteRow. If it is empty, it is the Linker's
	// OnIdentityDeleted, but only if that is one of the two. Otherwise it is AnonymiseRow,
	// because an erasure keeps no personal data.
	Row symbolon.RowPolicy

	// Why stays in the record forever: a ticket number, never the person's name. See
	// link.CheckWhy.
	Why string
}

// ErrRequest: the request is invalid.
var ErrRequest = errors.New("the request for an erasure is invalid")

func (e *Erasures) check(r Request) (Request, error) {
	switch {
	case r.ID == "" || len(r.ID) > 255:
		return r, fmt.Errorf("%w: the ID must be a user ID or an identity ID of 1 to 255 bytes", ErrRequest)
	case r.Row != "" && r.Row != symbolon.AnonymiseRow && r.Row != symbolon.DeleteRow:
		return r, fmt.Errorf("%w: the row must be anonymised or deleted, because %q would keep personal data", ErrRequest, r.Row)
	}
	if err := link.CheckWhy(r.Why); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if r.Row == "" {
		r.Row = symbolon.AnonymiseRow
		if e.Linker.OnIdentityDeleted == symbolon.DeleteRow {
			r.Row = symbolon.DeleteRow
		}
	}
	return r, nil
}

// Begin records that a person is to be erased and denies access at once. It does not do the
// later steps. If an erasure of the person is under way, or is done and nothing of the
// person is left, Begin returns that erasure.
//
// After these errors nothing was recorded: ErrRequest; ErrNotFound, because the ID is
// neither a known user nor a known identity; a *symbolon.ConflictError, because it is in
// doubt which identity and user belong together (bind settles this); ErrNoAdmin. After
// ErrUnavailable the intent may have been recorded, and then the erasure continues; call
// Begin again to find out. A failure after the intent was recorded is in LastError, and the
// step is tried again later.
func (e *Erasures) Begin(ctx context.Context, r Request) (symbolon.Erasure, error) {
	r, err := e.check(r)
	if err != nil {
		return symbolon.Erasure{}, err
	}
	p, err := e.find(ctx, r.ID)
	if err != nil {
		return symbolon.Erasure{}, fmt.Errorf("erase: %w", err)
	}
	last, err := e.last(ctx, p, r.Row)
	if err != nil || last.ID != "" {
		return e.deniedAtOnce(ctx, last), err
	}
	now := e.now()
	erasure, err := e.open(ctx, symbolon.Erasure{ID: newID(), Project: e.project(), Identity: p.identity, User: p.user,
		Row: r.Row, Why: r.Why, Step: StepDeny, RequestedAt: now})
	if err != nil {
		return symbolon.Erasure{}, fmt.Errorf("erase: record the intent: %w", err)
	}
	e.log().Info("erasure recorded", "erasure", erasure.ID, "identity", erasure.Identity, "user", erasure.User, "row", erasure.Row)
	if erasure.Step == StepDeny {
		erasure, _ = e.step(ctx, erasure) // a failure is recorded in LastError
	}
	return erasure, nil
}

// open records an erasure. If the store gives no answer, it tries again, which is safe
// because an ID is recorded only once.
func (e *Erasures) open(ctx context.Context, erasure symbolon.Erasure) (symbolon.Erasure, error) {
	opened, err := e.Record.OpenErasure(ctx, erasure)
	if errors.Is(err, symbolon.ErrUnavailable) && ctx.Err() == nil {
		opened, err = e.Record.OpenErasure(ctx, erasure)
	}
	return opened, err
}

// deniedAtOnce does the first step of an erasure that was recorded before, if the step was
// not done yet.
func (e *Erasures) deniedAtOnce(ctx context.Context, erasure symbolon.Erasure) symbolon.Erasure {
	if erasure.Step != StepDeny {
		return erasure
	}
	now, err := e.refreshPerson(ctx, erasure)
	if err != nil {
		return erasure
	}
	if now.Step == StepDeny {
		now, _ = e.step(ctx, now)
	}
	return now
}

// last returns the earlier erasure that makes a new one unnecessary, or none.
func (e *Erasures) last(ctx context.Context, p person, row symbolon.RowPolicy) (none symbolon.Erasure, err error) {
	last, err := e.Record.ErasureOf(ctx, e.project(), p.identity, p.user)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("erase: look for an earlier erasure: %w", err)
	case !last.Done():
		return last, nil
	case last.Step != symbolon.EraseDone:
		return none, nil
	}
	left, err := e.left(ctx, p, row)
	if err != nil || left {
		return none, err
	}
	return last, nil
}

// Get returns an erasure by its ID. ErrNotFound: there is none.
func (e *Erasures) Get(ctx context.Context, id string) (symbolon.Erasure, error) {
	return e.Record.Erasure(ctx, e.project(), id)
}

// Of returns the person's erasure that is under way, or else the latest one. identity or
// user may be empty. ErrNotFound: there is none.
func (e *Erasures) Of(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error) {
	return e.Record.ErasureOf(ctx, e.project(), identity, user)
}

// Unfinished returns the erasures with steps left, the oldest first.
func (e *Erasures) Unfinished(ctx context.Context) ([]symbolon.Erasure, error) {
	return e.Record.UnfinishedErasures(ctx, e.project())
}

func (e *Erasures) project() string {
	return cmp.Or(e.Linker.Project, symbolon.DefaultProject)
}

func (e *Erasures) now() time.Time {
	if e.Now != nil {
		return e.Now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

func (e *Erasures) log() *slog.Logger {
	return cmp.Or(e.Log, slog.Default())
}
