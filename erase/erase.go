// Package erase ends a person: the identity at Ory, the user's row, and what Symbolon
// itself has noted, in this order and with evidence.
//
//	erasures := &erase.Erasures{Linker: linker, Ory: client, Record: store, Users: store}
//	e, err := erasures.Begin(ctx, erase.Request{ID: "42", Why: "ticket 8812"})
//	e, err = erasures.Finish(ctx, e.ID)
//
// An erasure is a saga. Each step may be repeated, and is recorded before the next one
// begins, so that whoever comes next goes on where a kill -9 has stopped it:
//
//	         the intent is recorded; from here on it always ends
//	deny     the ledger says erased, the user's ID is retired, caches forget both
//	sessions Ory ends the identity's sessions
//	identity Ory deletes it; Kratos' own 404 is read back
//	row      anonymised or deleted; read back
//	scrub    words, digests and back-references in Symbolon's own tables are cleared
//	done     the evidence: what was done when, without anything about the person
//
// Nothing is ever given up: what Ory, the database or the table does not let through
// now is tried again by [Erasures.Resume]. "Don't know" is never "gone": a 401, a page
// of HTML or a proxy's 404 leaves a step undone.
package erase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Ory is what is done at Ory; *ory.Client can. Reading goes through the Linker's.
type Ory interface {
	// RevokeSessions ends all sessions of an identity; that there are none is a success.
	RevokeSessions(ctx context.Context, id symbolon.IdentityID) error

	// DeleteIdentity deletes one. ErrNotFound is Kratos' own 404 and nothing else.
	DeleteIdentity(ctx context.Context, id symbolon.IdentityID) error
}

// Record keeps the erasures. *sqlstore.Store does.
type Record interface {
	// OpenErasure records a new one. Where one of either half is under way nothing is
	// recorded, and that one is returned.
	OpenErasure(ctx context.Context, e symbolon.Erasure) (symbolon.Erasure, error)

	// Erasure and ErasureOf return one by its ID, and the one under way, or else the
	// last, of either half. ErrNotFound: there is none.
	Erasure(ctx context.Context, project, id string) (symbolon.Erasure, error)
	ErasureOf(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error)

	UnfinishedErasures(ctx context.Context, project string) ([]symbolon.Erasure, error)

	// SaveErasure writes e if it was at step from until now, and says whether it was.
	SaveErasure(ctx context.Context, e symbolon.Erasure, from symbolon.ErasureStep) (saved bool, err error)
}

// Users is what an erasure needs of the ledger and the rows beside the Linker.
// *sqlstore.Store has it.
type Users interface {
	User(ctx context.Context, project string, user symbolon.UserID) (symbolon.Claimed, error)

	// EraseUser retires a user's ID and lets its row follow a policy, by the user and not
	// by the identity; refused is what the table did not let through.
	EraseUser(ctx context.Context, project string, user symbolon.UserID, identity symbolon.IdentityID, row symbolon.RowPolicy, why string) (refused string, err error)

	// LeftInRow names the columns that anonymising empties and that hold something.
	LeftInRow(ctx context.Context, user symbolon.UserID, identity symbolon.IdentityID) (exists bool, columns []string, err error)

	// Scrub clears what is noted of a person, and counts it.
	Scrub(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (map[string]int, error)

	// SomeLinked returns some identities that are bound to users.
	SomeLinked(ctx context.Context, project string, n int) ([]symbolon.IdentityID, error)
}

// Erasures carries erasures out. The first four fields are required; set them before
// the first call. Every method may be called by many goroutines and processes at once:
// two that work on one erasure do a step twice at worst.
type Erasures struct {
	Linker *link.Linker // with an admin URL
	Ory    Ory
	Record Record
	Users  Users

	// Log defaults to slog.Default(). Nothing about the person but the IDs is logged.
	Log *slog.Logger

	// Now defaults to time.Now.
	Now func() time.Time
}

// Request says whom to erase.
type Request struct {
	// ID is the user's or the identity's.
	ID string

	// Row is AnonymiseRow or DeleteRow. Empty: the Linker's OnIdentityDeleted where that
	// is one of the two, else AnonymiseRow, since an erasure keeps no personal data.
	Row symbolon.RowPolicy

	// Why is kept in the record for good: a ticket's number, never the person's name. One
	// line of 1000 bytes at most, without an "@".
	Why string
}

// ErrRequest: the request itself is wrong.
var ErrRequest = errors.New("the request for an erasure is wrong")

func (e *Erasures) check(r Request) (Request, error) {
	switch {
	case r.ID == "" || len(r.ID) > 255:
		return r, fmt.Errorf("%w: the ID is that of a user or an identity, 1 to 255 bytes", ErrRequest)
	case r.Row != "" && r.Row != symbolon.AnonymiseRow && r.Row != symbolon.DeleteRow:
		return r, fmt.Errorf("%w: the row is either to be anonymised or deleted: %q would keep personal data", ErrRequest, r.Row)
	case len(r.Why) > 1000 || strings.ContainsAny(r.Why, "@\n\r\x00"):
		return r, fmt.Errorf("%w: why is kept for good: one line of at most 1000 bytes, and no e-mail address", ErrRequest)
	}
	if r.Row == "" {
		r.Row = symbolon.AnonymiseRow
		if e.Linker.OnIdentityDeleted == symbolon.DeleteRow {
			r.Row = symbolon.DeleteRow
		}
	}
	return r, nil
}

// Begin records that a person is to be erased and denies it at once; nothing else has
// happened when it returns. A person whose erasure is under way, or done with nothing
// left, is no error: that erasure is returned.
//
// Errors: ErrRequest; ErrNotFound, neither half is known; a *symbolon.ConflictError, it
// is in doubt which halves belong together, which bind settles; ErrNoAdmin: nothing was
// recorded. ErrUnavailable: it is not known whether it was, and it goes on if so; the
// same call tells. Whatever goes wrong after the intent was recorded is in LastError and
// goes on later.
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
		Row: r.Row, Why: r.Why, Step: symbolon.EraseDeny, RequestedAt: now})
	if err != nil {
		return symbolon.Erasure{}, fmt.Errorf("erase: record the intent: %w", err)
	}
	e.log().Info("erasure recorded", "erasure", erasure.ID, "identity", erasure.Identity, "user", erasure.User, "row", erasure.Row)
	if erasure.Step == symbolon.EraseDeny {
		erasure, _ = e.step(ctx, erasure) // what failed is recorded with it
	}
	return erasure, nil
}

// open records an erasure. Where no answer comes it asks again: one ID is recorded once.
func (e *Erasures) open(ctx context.Context, erasure symbolon.Erasure) (symbolon.Erasure, error) {
	opened, err := e.Record.OpenErasure(ctx, erasure)
	if errors.Is(err, symbolon.ErrUnavailable) && ctx.Err() == nil {
		opened, err = e.Record.OpenErasure(ctx, erasure)
	}
	return opened, err
}

// deniedAtOnce does the first step of an erasure that was recorded before, if that is
// all that happened.
func (e *Erasures) deniedAtOnce(ctx context.Context, erasure symbolon.Erasure) symbolon.Erasure {
	if erasure.Step != symbolon.EraseDeny {
		return erasure
	}
	now, err := e.adopt(ctx, erasure)
	if err != nil {
		return erasure
	}
	if now.Step == symbolon.EraseDeny {
		now, _ = e.step(ctx, now)
	}
	return now
}

// last returns the erasure that makes a new one needless, or none.
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

// Of returns the erasure of a person, either half of which may be empty: the one under
// way, or else the last. ErrNotFound: there is none.
func (e *Erasures) Of(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error) {
	return e.Record.ErasureOf(ctx, e.project(), identity, user)
}

// Unfinished are the erasures with something left to do, the oldest first.
func (e *Erasures) Unfinished(ctx context.Context) ([]symbolon.Erasure, error) {
	return e.Record.UnfinishedErasures(ctx, e.project())
}

func (e *Erasures) project() string {
	if e.Linker.Project == "" {
		return symbolon.DefaultProject
	}
	return e.Linker.Project
}

func (e *Erasures) now() time.Time {
	if e.Now != nil {
		return e.Now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

func (e *Erasures) log() *slog.Logger {
	if e.Log != nil {
		return e.Log
	}
	return slog.Default()
}
