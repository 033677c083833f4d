// Package link is the engine: [Linker] makes and ends every bond of an identity and a
// user. For each call it reads the evidence, asks package decide for a plan, and has the
// store apply the plan in one transaction. No transaction stays open while Ory is asked.
package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/mint"
)

// Linker makes and ends bonds. Set the fields before the first call and do not change them
// afterwards. Every method may then be called by many goroutines at once, until Close. Ory
// and Store are required.
type Linker struct {
	Ory   symbolon.Ory
	Store symbolon.Store

	// Creator asks the application to make its users. It is required if the store's NewID
	// is ByApplication, and not used otherwise.
	Creator symbolon.Creator

	// Project names the Ory project, so that several projects can share one application.
	// Defaults to [symbolon.DefaultProject].
	Project string

	// Secrets sign minted IDs, vouchers and invites. The first one signs; all of them are accepted.
	// docs/rotation.md has the order in which a secret is changed.
	// Without a secret no minted ID can be verified, and hooks.Handler refuses to start.
	Secrets []symbolon.Secret

	// BackReference says whether and how the user's ID gets into the identity.
	BackReference BackReference

	// QueuedWrites leaves the writing of back-references to the caller. The store's
	// OnLink then queues a job if [Linker.WantsBackReference] reports true, and the job
	// calls [Linker.WriteBackReference]; a crash loses no such job. By default the
	// Linker writes back-references itself after the commit, and a crash loses them.
	QueuedWrites bool

	// OnUserDeleted says what an identity gets if the row of its user is missing.
	// Defaults to DenyDeleted.
	OnUserDeleted OnUserDeleted

	// When says which identities get a user. All others get ErrNotEligible, nothing is recorded
	// about them, and each new reading decides anew. hooks.Actions.When must be the same.
	// Defaults to every identity.
	When When

	// OnIdentityDeleted says what happens to the row of a user whose identity is proved
	// gone. Defaults to DeactivateRow.
	OnIdentityDeleted symbolon.RowPolicy

	// OnReturn says what somebody gets who comes back with a new identity and the verified
	// address of a user whose identity was proved gone. ReturnRestore and ReturnAsk need Ory's
	// admin API and Secrets, and OnIdentityDeleted must keep or deactivate the row. Each new
	// identity is then read once over the admin API. docs/returning.md has the rules.
	// Defaults to ReturnNew.
	//
	// Danger: with ReturnRestore somebody who was given another person's former address, for
	// example by an employer, gets that person's user.
	OnReturn OnReturn

	// ProofGap is the time between the two requests of ProveGone. Defaults to 30 seconds.
	ProofGap time.Duration

	// AdoptVerifiedEmail binds an identity to an existing user if both sides verified the
	// same e-mail address, and holds the identity while one side has not verified that
	// address; see decide.JudgeEmail. It needs Ory's admin API, and a store that knows the
	// columns. Off by default.
	//
	// Danger: if one side reports an address as verified without having checked it, anybody
	// who registers with the address gets the user.
	AdoptVerifiedEmail bool

	// MakeID makes the IDs of new users if the store's NewID is ByProgram. It is then required.
	// Every ID must be new: it must never have been returned before, nor be the ID of a user. It
	// is called often and must be quick; IDs that it returns are not always used.
	MakeID func() symbolon.UserID

	// AfterLink is called after a new bond was committed, by the goroutine that made it and
	// with its context, which may have ended by then. The call is lost if the process
	// crashes in between, or if the database cannot be asked whether the commit succeeded.
	// Work that must not be lost belongs in the store's OnLink.
	AfterLink func(context.Context, symbolon.Link)

	// Log defaults to slog.Default(). Secrets and traits are never logged.
	Log *slog.Logger

	// Now defaults to time.Now.
	Now func() time.Time

	once      sync.Once
	minter    *mint.Minter
	writer    *backReferenceWriter // Close waits for its goroutine
	refreshes refreshes            // Close waits for their goroutines
	watchers  watchers
	starts    starts
	readings  *firstReadings // Close waits for its goroutine
}

// When says which identities get a user; see [decide.When].
type When = decide.When

func (l *Linker) setup() {
	l.once.Do(func() {
		l.minter = mint.NewMinter(l.project(), l.Secrets...)
		l.writer = newBackReferenceWriter(l)
		l.readings = newFirstReadings(l)
		l.refreshes.people.Timeout, l.refreshes.background.Timeout = refreshTimeout, refreshTimeout
		l.refreshes.people.Log, l.refreshes.background.Log = l.log(), l.log()
	})
}

// Close cancels the readings that wait for Ory's rate limit. It waits until every re-reading
// has ended and every back-reference is written or given up. If ctx ends first, it cancels them and returns an error. No goroutine of the
// Linker runs afterwards. No other method may be called after Close.
func (l *Linker) Close(ctx context.Context) error {
	l.setup()
	l.readings.close()
	return errors.Join(l.refreshes.drain(ctx), l.writer.close(ctx)) // a re-reading may queue a back-reference
}

// Forget records in the application's own transaction that the application deletes a user.
// Call it before the row is deleted, so that all transactions lock in one order. The
// identity stays at Ory, and its requests are answered as OnUserDeleted says. On every
// replica a cached answer about a session of the identity is still given until it is too old
// (session.Verifier.MaxStale, 10 seconds by default). To end that too, call Purge of the
// session.Verifier with the identity's ID after the commit. A Purge before the commit is too
// early, because a request may read the user again meanwhile.
func (l *Linker) Forget(ctx context.Context, tx symbolon.Execer, user symbolon.UserID) error {
	l.setup()
	if err := l.Store.Forget(ctx, tx, l.project(), user); err != nil {
		return fmt.Errorf("forget user %s: %w", user, err)
	}
	return nil
}

// Record returns all that is known of a person. The id is an identity's ID or a user's.
// ErrNotFound: neither an identity nor a user with this ID is known.
func (l *Linker) Record(ctx context.Context, id string) (symbolon.Record, error) {
	l.setup()
	return l.Store.Record(ctx, l.project(), id)
}

// Mint makes an ID for a user that does not exist yet. Nothing is stored.
func (l *Linker) Mint() symbolon.UserID {
	l.setup()
	return l.minter.Mint(l.now())
}

// Voucher makes a voucher for an existing user. An identity that is created with this
// voucher in metadata_admin.symbolon gets that user. Only Ory's admin API shows vouchers:
// without an admin URL the error is ErrNoAdmin.
func (l *Linker) Voucher(user symbolon.UserID) (mint.Voucher, error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return mint.Voucher{}, fmt.Errorf("voucher for user %s: %w", user, symbolon.ErrNoAdmin)
	}
	return l.minter.Voucher(user)
}

func (l *Linker) policy() decide.Policy {
	newID := l.Store.NewID()
	p := decide.Policy{Minter: l.minter, Key: l.BackReference.WithDefaults().Key, NewID: newID, Admin: l.Ory.HasAdmin(), VerifiedEmail: l.AdoptVerifiedEmail,
		Recreate: l.OnUserDeleted == RecreateDeleted, When: l.When, OnReturn: l.OnReturn, Gone: map[symbolon.IdentityID]bool{}, Answer: &decide.Answer{}, Start: l.starts.known()}
	if makeID := l.maker(); makeID != nil {
		p.Fresh = sync.OnceValue(makeID) // most decisions need no new ID
	}
	return p
}

// lacksMaker reports whether nobody makes the IDs.
func (l *Linker) lacksMaker() bool {
	return l.Store.NewID() == symbolon.ByProgram && l.MakeID == nil
}

// maker returns the function that makes IDs; nil if somebody else makes them.
func (l *Linker) maker() func() symbolon.UserID {
	switch newID := l.Store.NewID(); {
	case newID == symbolon.ByMint:
		return l.Mint
	case newID == symbolon.ByProgram:
		return l.MakeID
	case newID.Template():
		return func() symbolon.UserID { return mint.Expand(string(newID), l.now()) }
	}
	return nil
}

func (l *Linker) project() string { return cmp.Or(l.Project, symbolon.DefaultProject) }

func (l *Linker) now() time.Time { return defaults.Now(l.Now) }

func (l *Linker) log() *slog.Logger { return cmp.Or(l.Log, slog.Default()) }
