package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// CreateAll makes many new links at once:
//
//	select the known identities                 outside of the transaction
//	    decide                                  each of the others; pure
//	begin
//	insert the entries                          locks them; SQLite needs a write first
//	insert the users' rows
//	bind the entries to the IDs                 only where the database chose them
//	insert the events
//	    OnLink                                  for each link
//	commit
//
// If anything is refused, or another writer was faster, everything is rolled back, and each
// half of the identities is tried separately. CreateAll makes no user for the last few. Its
// caller makes them one by one with Write, which finds the cause.

var _ symbolon.BulkStore = (*Store)(nil)

// CreateAll makes users for identities without any evidence; see [symbolon.BulkStore]. All
// queries must be for one project.
func (s *Store) CreateAll(ctx context.Context, qs []symbolon.Query, decide func(int, symbolon.Evidence) symbolon.Plan) ([]symbolon.Outcome, error) {
	out := make([]symbolon.Outcome, len(qs))
	if len(qs) == 0 {
		return out, nil
	}
	for _, q := range qs {
		id, err := symbolon.ParseIdentityID(string(q.Reading.Identity.ID))
		if err != nil || id != q.Reading.Identity.ID || q.Project != qs[0].Project {
			return out, errors.New("sqlstore: the queries are for several projects, or one has no canonical identity ID")
		}
	}
	if err := ready(&qs[0]); err != nil {
		return out, err
	}
	return out, s.withShape(ctx, func(shape *shape) error {
		if shape.read.spelling == unproven {
			return nil // Write looks for other spellings
		}
		b := &bulk{store: s, shape: shape, project: qs[0].Project, qs: qs, out: out}
		return b.createStrangers(ctx, decide)
	})
}

func (b *bulk) createStrangers(ctx context.Context, decide func(int, symbolon.Evidence) symbolon.Plan) error {
	strangers, err := b.strangers(ctx)
	if err != nil {
		return err
	}
	var all []*newcomer
	for _, at := range strangers {
		plan := decide(at, symbolon.Evidence{Claims: make([]symbolon.Claimed, len(b.qs[at].Claims))})
		if n, ok := b.newcomer(at, plan); ok {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *newcomer) int { return strings.Compare(string(a.link.Identity), string(b.link.Identity)) })
	return b.create(ctx, all)
}

// bulk is one call of CreateAll.
type bulk struct {
	store   *Store
	shape   *shape
	project string
	qs      []symbolon.Query
	out     []symbolon.Outcome
}

// newcomer is an identity that needs a new user.
type newcomer struct {
	at      int // its index in bulk.qs
	plan    symbolon.Plan
	link    symbolon.Link // the link as it will be
	digest  string
	columns []string // of the row, and what goes into them
	values  []any
}

// newcomer prepares a plan for CreateAll. Plans with findings or reserved IDs are left for
// Write.
func (b *bulk) newcomer(at int, plan symbolon.Plan) (*newcomer, bool) {
	if plan.Action != symbolon.Create || plan.Reserved || plan.Conflict || len(plan.Findings) > 0 || plan.Retire != "" || plan.Release != "" || plan.Err != nil {
		return nil, false
	}
	seen := b.qs[at].Reading
	n := &newcomer{at: at, plan: plan}
	n.link = symbolon.Link{Project: b.project, Identity: seen.Identity.ID, State: symbolon.Linked, Source: seen.Source,
		Ticket: seen.Ticket, BackReference: plan.BackReference}
	var key any
	if plan.User != "" {
		var ok bool
		if n.link.User, key, ok = b.shape.key(plan.User); !ok {
			return nil, false
		}
	}
	cells := b.shape.paths(seen.Identity)
	if len(refusedCells(cells)) > 0 {
		return nil, false
	}
	n.digest = digestToWrite(cells)
	base, optional := b.shape.sortCells(append(slices.Clone(cells), b.shape.signUp(seen.Identity)...), b.store.now().UTC().Truncate(time.Microsecond))
	n.columns, n.values = b.shape.newRow(key, seen.Identity.ID, append(base, optional...))
	return n, true
}

// few is the largest number of newcomers that are made one by one after a failure.
const few = 8

// create makes users for all newcomers that can have one.
func (b *bulk) create(ctx context.Context, all []*newcomer) error {
	if len(all) == 0 {
		return nil
	}
	err := b.together(ctx, all)
	if err == nil {
		return nil
	}
	if !errors.Is(err, errRefused) && !errors.Is(err, errTaken) && !b.store.own(ctx, err) {
		return unavailable(fmt.Sprintf("make %d users", len(all)), err)
	}
	if len(all) <= few {
		return nil
	}
	half := len(all) / 2
	if err := b.create(ctx, all[:half]); err != nil {
		return err
	}
	return b.create(ctx, all[half:])
}

// together makes the users in one transaction. If the commit is not answered, together finds
// out whether it happened, and tries again if it did not.
func (b *bulk) together(ctx context.Context, all []*newcomer) error {
	for until := time.Now().Add(lockTimeout); ; {
		var a *attempt
		err := b.store.retryTx(ctx, b.store.behind, func(waiting context.Context, tx *Tx) error {
			a = &attempt{bulk: b, all: all, now: b.store.now().UTC().Truncate(time.Microsecond), db: session{store: b.store, tx: tx.tx}}
			return a.run(ctx, waiting, tx)
		})
		if err == nil {
			a.setOutcomes()
			return nil
		}
		if !errors.Is(err, errCommitUnknown) || !time.Now().Before(until) {
			return err
		}
		if done, err := a.checkCommitted(ctx); done || err != nil {
			return err
		}
	}
}

// attempt is one transaction of CreateAll.
type attempt struct {
	*bulk
	all   []*newcomer
	now   time.Time
	db    session
	users map[symbolon.IdentityID]symbolon.UserID // the IDs that the database chose
}

// checkCommitted finds out whether the attempt was committed. One of its links is enough to
// know, because a transaction is committed as a whole or not at all.
func (a *attempt) checkCommitted(ctx context.Context) (done bool, err error) {
	found, want := entry{}, entry{Link: a.linked(a.all[0])}
	q := symbolon.Query{Project: a.project, Reading: symbolon.Reading{Identity: symbolon.Identity{ID: want.Identity}}}
	_, err = a.store.Write(ctx, q, func(h symbolon.Evidence) (symbolon.Plan, error) {
		if h.Link != nil {
			found.Link = *h.Link
		}
		return symbolon.Plan{Action: symbolon.Keep}, nil
	})
	if err != nil || !found.equals(want) {
		return false, err
	}
	a.setOutcomes()
	return true, nil
}

// setOutcomes sets the outcomes after the commit.
func (a *attempt) setOutcomes() {
	a.store.noteWritten()
	for _, n := range a.all {
		a.out[n.at] = symbolon.Outcome{Link: a.linked(n), Plan: n.plan, New: true}
	}
}

func (a *attempt) run(ctx, waiting context.Context, tx *Tx) error {
	if err := a.enter(waiting); err != nil {
		return err
	}
	if err := a.insertRows(ctx); err != nil {
		return err
	}
	if err := a.bind(ctx); err != nil {
		return err
	}
	if err := a.insertEvents(ctx); err != nil {
		return err
	}
	if a.store.OnLink == nil {
		return nil
	}
	for _, n := range a.all {
		if err := a.store.OnLink(symbolon.WithReading(ctx, a.qs[n.at].Reading), tx, a.linked(n)); err != nil {
			return plainError{fmt.Errorf("on link: %w", err)}
		}
	}
	return nil
}

// linked is the link that this attempt makes.
func (a *attempt) linked(n *newcomer) symbolon.Link {
	link := n.link
	link.At = a.now
	if link.User == "" {
		link.User = a.users[link.Identity]
	}
	return link
}
