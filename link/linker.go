// Package link is the engine: [Linker] is the one door to the bond of an identity and a
// user. It reads what is known, has package decide say what follows, and has the store
// carry it out in one transaction. No transaction stays open across a call to Ory.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/mint"
)

// Linker is the one door to the bond. Set the fields before the first call and
// leave them alone afterwards; every method may then be called by many
// goroutines at once. Ory and Store are required.
type Linker struct {
	Ory   symbolon.Ory
	Store symbolon.Store

	// Creator has the application make its users; required where the store's NewID is
	// ByApplication, and not used elsewhere.
	Creator symbolon.Creator

	// Project names the Ory project, so that several can share one application.
	// Defaults to [symbolon.DefaultProject].
	Project string

	// Secrets sign minted IDs and vouchers: the current one first, older ones that
	// still count behind it. Without one nothing is proved by an ID alone, and
	// hooks.Handler refuses to start.
	Secrets []symbolon.Secret

	// BackReference says whether and how the user's ID gets into the identity.
	BackReference BackReference

	// QueuedWrites says that somebody else has back-references written: whoever
	// queues a job in the store's OnLink where [Linker.WantsBackReference] says so,
	// and calls [Linker.WriteBackReference] from it. A crash loses none of them then.
	// By default the Linker does it by itself, after the commit.
	QueuedWrites bool

	// OnUserDeleted defaults to DenyDeleted.
	OnUserDeleted OnUserDeleted

	// OnIdentityDeleted says what becomes of a user's row when its identity is proved
	// gone. Defaults to DeactivateRow.
	OnIdentityDeleted symbolon.RowPolicy

	// ProofGap lies between the two looks of ProveGone. Defaults to 30 seconds.
	ProofGap time.Duration

	// AdoptVerifiedEmail binds an identity to an existing user by an e-mail address
	// that both sides verified, and holds it while one has not; see JudgeEmail. It
	// needs Ory's admin API, and a store that knows the columns. Off by default, and
	// dangerous where either side says "verified" of what is not: whoever controls the
	// address controls the user.
	AdoptVerifiedEmail bool

	// AfterLink is called after a new bond was committed, by the goroutine that
	// made it and with its context, which may have ended by then. A crash in between
	// loses the call, and so does a database that can no longer be asked whether it was:
	// what must never be lost belongs into the store's OnLink.
	AfterLink func(context.Context, symbolon.Link)

	// Log defaults to slog.Default(). Secrets and traits are never logged.
	Log *slog.Logger

	// Now defaults to time.Now.
	Now func() time.Time

	once         sync.Once
	minter       *mint.Minter
	writer       *backWriter
	reads        coalescer
	patientReads coalescer // the background's
	watchers     watchers
}

// Link returns the bond of an identity that was seen at Ory, and makes it when
// there is none. It is idempotent and safe to race.
//
// Errors: a *DenyError says why the identity has no user that may be handed out
// (ErrOnHold, ErrUserGone, ErrCannotCreate); ErrNotFound that Ory no longer has
// the identity; ErrUnavailable that Ory or the store did not answer: nothing is known,
// and the next call finds out.
func (l *Linker) Link(ctx context.Context, seen symbolon.Reading) (symbolon.Link, error) {
	l.setup()
	if _, err := symbolon.ParseIdentityID(string(seen.Identity.ID)); err != nil {
		return symbolon.Link{}, fmt.Errorf("link: %w", err)
	}
	out, err := l.converge(ctx, seen)
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("link identity %s: %w", seen.Identity.ID, err)
	}
	return out, nil
}

// Standing returns the bond of an identity of which nothing but its ID is known, as
// it stands. It writes nothing and makes no user: which one an identity has is
// decided by what Ory holds of it.
//
// Errors: a *DenyError where there is a user that must not be handed out;
// ErrNotFound where no bond stands, and [Linker.Link] has to be told more;
// everything else is "don't know".
func (l *Linker) Lookup(ctx context.Context, id symbolon.IdentityID) (symbolon.Link, error) {
	l.setup()
	id, err := symbolon.ParseIdentityID(string(id))
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("look up: %w", err)
	}
	p := l.policy()
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromRequest}
	held, err := l.Store.Read(ctx, l.query(seen, p))
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("look up identity %s: %w", id, err)
	}
	plan, asked := decide.Identity(seen, held, p)
	switch {
	case !asked.None():
	case plan.Action == symbolon.Keep:
		return *held.Link, nil
	case plan.Action == symbolon.Deny, plan.Action == symbolon.Hold:
		return symbolon.Link{}, fmt.Errorf("look up identity %s: %w", id, plan.Err)
	}
	return symbolon.Link{}, fmt.Errorf("no bond of identity %s stands: %w", id, symbolon.ErrNotFound)
}

// rounds bounds how often a decision may want to know one thing more: the identity
// itself, whether the owner of each of its claims is gone, and the user that the
// application makes.
const rounds = 7

func (l *Linker) converge(ctx context.Context, seen symbolon.Reading) (symbolon.Link, error) {
	p := l.policy()
	for range rounds {
		q := l.query(seen, p)
		held, err := l.Store.Read(ctx, q)
		if err != nil {
			return symbolon.Link{}, err
		}
		plan, asked := decide.Identity(seen, held, p)
		if asked.None() {
			if plan.Action == symbolon.Keep {
				return *held.Link, nil
			}
			var out symbolon.Outcome
			if out, asked, err = l.write(ctx, q, p); asked.None() {
				return l.finish(ctx, seen, out, err)
			}
		}
		if seen, err = l.learn(ctx, seen, asked, p); err != nil {
			return symbolon.Link{}, err
		}
	}
	return symbolon.Link{}, fmt.Errorf("the identity's metadata keeps changing: %w", symbolon.ErrUnavailable)
}

// errAsk undoes a transaction whose decision wants to know more of Ory: no
// transaction stays open across a call.
var errAsk = errors.New("more must be learned first")

// write has the store carry out what decide says of what it holds then. A question
// instead of an outcome: nothing was written.
func (l *Linker) write(ctx context.Context, q symbolon.Query, p decide.Policy) (symbolon.Outcome, decide.Question, error) {
	var asked decide.Question
	out, err := l.carryOut(symbolon.WithReading(ctx, q.Reading), q, func(h symbolon.Evidence) (plan symbolon.Plan, err error) {
		if plan, asked = decide.Identity(q.Reading, h, p); !asked.None() {
			return symbolon.Plan{}, errAsk
		}
		return plan, nil
	})
	if !errors.Is(err, errAsk) {
		asked = decide.Question{} // the store failed before it came to the answer
	}
	return out, asked, err
}

// carryOut has the store take a decision. After an error it may have been carried out
// all the same: whoever waits for such a change is told of it.
func (l *Linker) carryOut(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	var agreed symbolon.Plan
	out, err := l.Store.Write(ctx, q, func(h symbolon.Evidence) (symbolon.Plan, error) {
		plan, err := decide(h)
		if agreed = plan; err != nil {
			agreed = symbolon.Plan{}
		}
		return plan, err
	})
	if err != nil {
		l.watchers.tellOf(q.Reading, symbolon.Outcome{Plan: agreed, New: true, Opened: agreed.Findings})
	}
	return out, err
}

// learn asks Ory, or the application, what decide wants to know.
func (l *Linker) learn(ctx context.Context, seen symbolon.Reading, q decide.Question, p decide.Policy) (symbolon.Reading, error) {
	if q.Create {
		return seen, l.create(ctx, seen.Identity, p)
	}
	fresh, err := l.Ory.Identity(ctx, seen.Identity.ID)
	if err != nil {
		return seen, fmt.Errorf("read the identity at Ory: %w", err)
	}
	seen.Identity, seen.Admin = fresh, true
	if q.Gone == "" {
		return seen, nil
	}
	// The identity that was just read is the control: Ory answers truly, and
	// knows this project.
	switch _, err := l.Ory.Identity(ctx, q.Gone); {
	case err == nil:
		p.Gone[q.Gone] = false
	case errors.Is(err, symbolon.ErrNotFound):
		p.Gone[q.Gone] = true
	default:
		return seen, fmt.Errorf("ask Ory for identity %s: %w", q.Gone, err)
	}
	return seen, nil
}

// finish tells whoever waits for a committed decision.
func (l *Linker) finish(ctx context.Context, seen symbolon.Reading, out symbolon.Outcome, err error) (symbolon.Link, error) {
	if err != nil {
		return symbolon.Link{}, err
	}
	l.report(seen, out)
	l.watchers.tellOf(seen, out)
	if out.New {
		if l.AfterLink != nil {
			l.AfterLink(ctx, out.Link)
		}
		l.writer.offer(seen, out.Link)
	}
	if out.Plan.Err != nil {
		return symbolon.Link{}, out.Plan.Err
	}
	return out.Link, nil
}

func (l *Linker) report(seen symbolon.Reading, out symbolon.Outcome) {
	log := l.log().With("identity", seen.Identity.ID, "user", out.Link.User, "way", seen.Source)
	for _, f := range out.Opened {
		log.Warn("finding", "kind", f.Kind, "detail", f.Detail)
	}
	if out.New {
		log.Info("user linked", "why", out.Plan.Why)
	}
}

// Forget records in the application's own transaction that it deletes a user. Call
// it first, then delete the row: everybody takes the locks in that order.
// The identity stays at Ory; its next request follows OnUserDeleted.
func (l *Linker) Forget(ctx context.Context, tx symbolon.Execer, user symbolon.UserID) error {
	l.setup()
	if err := l.Store.Forget(ctx, tx, l.project(), user); err != nil {
		return fmt.Errorf("forget user %s: %w", user, err)
	}
	return nil
}

// Record returns all that is known of the person that id names: an identity's ID
// or a user's. ErrNotFound: neither half is known.
func (l *Linker) Record(ctx context.Context, id string) (symbolon.Record, error) {
	l.setup()
	return l.Store.Record(ctx, l.project(), id)
}

// Mint makes an ID for a user that does not exist yet. Nothing is stored.
func (l *Linker) Mint() symbolon.UserID {
	l.setup()
	return l.minter.Mint(l.now())
}

// Voucher makes what an identity that is created for an existing user has to
// carry as metadata_admin.symbolon, so that the two are bound when they meet. It
// needs Ory's admin API to be seen.
func (l *Linker) Voucher(user symbolon.UserID) (mint.Voucher, error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return mint.Voucher{}, fmt.Errorf("voucher for user %s: %w", user, symbolon.ErrNoAdmin)
	}
	return l.minter.Voucher(user)
}

// Close waits until every back-reference that is under way has been written or
// given up, or ctx ends. No method may be called afterwards.
func (l *Linker) Close(ctx context.Context) error {
	l.setup()
	return l.writer.close(ctx)
}

func (l *Linker) setup() {
	l.once.Do(func() {
		l.minter = mint.NewMinter(l.project(), l.Secrets...)
		l.writer = newBackWriter(l)
	})
}

func (l *Linker) policy() decide.Policy {
	newID := l.Store.NewID()
	p := decide.Policy{Minter: l.minter, Key: l.BackReference.WithDefaults().Key, NewID: newID, Admin: l.Ory.HasAdmin(), VerifiedEmail: l.AdoptVerifiedEmail,
		Recreate: l.OnUserDeleted == RecreateDeleted, Gone: map[symbolon.IdentityID]bool{}, Answer: &decide.Answer{}}
	if newID == symbolon.ByMint {
		p.Fresh = l.minter.Mint(l.now())
	}
	return p
}

func (l *Linker) query(seen symbolon.Reading, p decide.Policy) symbolon.Query {
	q := symbolon.Query{Project: l.project(), Reading: seen, Claims: decide.ClaimedUsers(seen.Identity, p)}
	if p.VerifiedEmail {
		q.Emails = seen.Identity.Emails()
	}
	return q
}

func (l *Linker) project() string {
	if l.Project == "" {
		return symbolon.DefaultProject
	}
	return l.Project
}

func (l *Linker) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

func (l *Linker) log() *slog.Logger {
	if l.Log != nil {
		return l.Log
	}
	return slog.Default()
}
