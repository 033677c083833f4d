package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Link returns the bond of an identity that was read at Ory, and makes the bond if there
// is none. It is idempotent, and concurrent calls for one identity are safe.
//
// Errors: a *DenyError says why the identity gets no user (ErrOnHold, ErrUserGone,
// ErrCannotCreate, ErrNotEligible), or that the application denies its user (ErrDenied). A
// denied user keeps its bond, and its columns are written. ErrNotFound: Ory no longer has the identity. ErrUnavailable: Ory or
// the store did not answer, so that nothing is known; the next call finds out.
func (l *Linker) Link(ctx context.Context, r symbolon.Reading) (symbolon.Link, error) {
	l.setup()
	if _, err := symbolon.ParseIdentityID(string(r.Identity.ID)); err != nil {
		return symbolon.Link{}, fmt.Errorf("link: %w", err)
	}
	link, err := l.link(ctx, r)
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("link identity %s: %w", r.Identity.ID, err)
	}
	return link, nil
}

// Lookup returns the bond of an identity that was not read at Ory. It writes nothing, asks
// Ory nothing and makes no user, because only a reading can decide which user a new
// identity gets.
//
// Errors: a *DenyError if the identity has a user that must not be handed out.
// ErrNotFound: the ledger has no bond yet, and [Linker.Link] is needed. Every other error
// means "don't know".
func (l *Linker) Lookup(ctx context.Context, id symbolon.IdentityID) (symbolon.Link, error) {
	l.setup()
	id, err := symbolon.ParseIdentityID(string(id))
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("look up: %w", err)
	}
	p := l.policy()
	p.When = decide.When{} // only a reading can say that the identity is not eligible
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromRequest}
	e, err := l.Store.Read(ctx, l.query(r, p))
	if err != nil {
		return symbolon.Link{}, fmt.Errorf("look up identity %s: %w", id, err)
	}
	plan, question := decide.Identity(r, e, p)
	switch {
	case !question.None():
	case plan.Err != nil:
		return symbolon.Link{}, fmt.Errorf("look up identity %s: %w", id, plan.Err)
	case plan.Action == symbolon.Keep:
		return *e.Link, nil
	}
	return symbolon.Link{}, fmt.Errorf("identity %s has no bond yet: %w", id, symbolon.ErrNotFound)
}

// kept is the answer of a plan that writes no bond.
func kept(e symbolon.Evidence, plan symbolon.Plan) (symbolon.Link, error) {
	if plan.Err != nil {
		return symbolon.Link{}, plan.Err
	}
	return *e.Link, nil
}

// denies reports whether the application may deny users by their rows.
func (l *Linker) denies() bool {
	store, ok := l.Store.(interface{ Denies() bool })
	return ok && store.Denies()
}

// maxRounds bounds how often one decision may ask a question: for the identity itself,
// for the owner of each of its claims, for the user that the application makes, and for the
// project's start.
const maxRounds = 8

// link reads, decides and writes, and answers the questions of the decision in between. An
// existing bond is returned without a write.
func (l *Linker) link(ctx context.Context, r symbolon.Reading) (symbolon.Link, error) {
	if l.lacksMaker() {
		return symbolon.Link{}, errors.New("symbolon: the program makes the IDs of its users, but Linker.MakeID is not set")
	}
	p := l.policy()
	for range maxRounds {
		q := l.query(r, p)
		e, err := l.Store.Read(ctx, q)
		if err != nil {
			return symbolon.Link{}, err
		}
		plan, question := decide.Identity(r, e, p)
		if question.None() {
			switch plan.Action {
			case symbolon.Keep:
				if e.Link != nil && e.Link.State == symbolon.Also && r.Identity.State == symbolon.Inactive {
					l.watchers.notify(r.Identity.ID) // Ory accepts none of its sessions any more; a cache might
				}
				return kept(e, plan)
			case symbolon.Wait:
				return symbolon.Link{}, plan.Err
			}
			var out symbolon.Outcome
			out, question, err = l.write(symbolon.WithReading(ctx, r), q, func(e symbolon.Evidence) (symbolon.Plan, decide.Question, error) {
				plan, question := decide.Identity(r, e, p)
				return plan, question, nil
			})
			if question.None() {
				link, err := l.finish(ctx, r, out, err)
				if err == nil && out.New && l.denies() {
					return l.Lookup(ctx, link.Identity) // the new row may meet a condition, by a default or a trigger
				}
				return link, err
			}
		}
		if r, err = l.ask(ctx, r, question, p); err != nil {
			return symbolon.Link{}, err
		}
	}
	return symbolon.Link{}, fmt.Errorf("the identity's metadata keeps changing: %w", symbolon.ErrUnavailable)
}

// errQuestion rolls back a transaction in which the decision asks a question, because no
// transaction stays open while Ory is asked.
var errQuestion = errors.New("the decision asks a question first")

// write decides inside the store's transaction and has the plan applied. If the decision
// asks a question there, nothing is written.
func (l *Linker) write(ctx context.Context, q symbolon.Query, decision func(symbolon.Evidence) (symbolon.Plan, decide.Question, error)) (symbolon.Outcome, decide.Question, error) {
	var question decide.Question
	out, err := l.apply(ctx, q, func(e symbolon.Evidence) (plan symbolon.Plan, err error) {
		if plan, question, err = decision(e); err == nil && !question.None() {
			return symbolon.Plan{}, errQuestion
		}
		return plan, err
	})
	if !errors.Is(err, errQuestion) {
		question = decide.Question{} // the store failed after the question was asked
	}
	return out, question, err
}

// apply has the store apply a decision. It notifies the watchers also after an error,
// because the plan may have been committed all the same.
func (l *Linker) apply(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	var last symbolon.Plan
	out, err := l.writeAsking(ctx, q, func(e symbolon.Evidence) (symbolon.Plan, error) {
		plan, err := decide(e)
		if last = plan; err != nil {
			last = symbolon.Plan{}
		}
		return plan, err
	})
	if err != nil {
		l.watchers.notifyOutcome(q.Reading, symbolon.Outcome{Plan: last, New: true, Opened: last.Findings})
	}
	return out, err
}

// ask answers a question of decide: it asks Ory or the application, outside of every
// transaction. It returns the newer reading, or puts the answer into p.
func (l *Linker) ask(ctx context.Context, r symbolon.Reading, q decide.Question, p decide.Policy) (symbolon.Reading, error) {
	switch {
	case q.Create:
		return r, l.create(ctx, r.Identity, p)
	case q.Start:
		return r, l.starts.read(ctx, l, p.Start)
	case q.Ticket:
		again, err := l.read(ctx, r.Identity.ID, r.Source)
		again.Identity.Transient = r.Identity.Transient
		return again, err
	}
	if p.OnReturn.Looks() && r.Ticket == 0 { // otherwise the verified address of a new user is not recorded
		ticket, err := l.Store.Ticket(ctx)
		if err != nil {
			return r, fmt.Errorf("take a ticket: %w", err)
		}
		r.Ticket = ticket
	}
	identity, err := l.Ory.Identity(ctx, r.Identity.ID)
	if err != nil {
		if _, background := symbolon.PatienceFrom(ctx); q.Identity && !background && errors.Is(err, symbolon.ErrRateLimited) {
			l.readings.enqueue(r)
		}
		return r, err // it names the identity
	}
	identity.Transient = r.Identity.Transient // only the link hook's body has the sign-up form
	r.Identity, r.Admin = identity, true
	if q.Gone == "" {
		return r, nil
	}
	// The identity that was just read is the control: it shows that Ory answers and is the
	// right project.
	switch _, err := l.Ory.Identity(ctx, q.Gone); {
	case err == nil:
		p.Gone[q.Gone] = false
	case errors.Is(err, symbolon.ErrNotFound):
		p.Gone[q.Gone] = true
	default:
		return r, err
	}
	return r, nil
}

// create asks the application for the identity's user and puts the answer into p.
func (l *Linker) create(ctx context.Context, id symbolon.Identity, p decide.Policy) error {
	if l.Creator == nil {
		return errors.New("symbolon: the application makes its users itself, but Linker.Creator is not set")
	}
	user, err := l.Creator.Create(ctx, id)
	switch {
	case errors.Is(err, symbolon.ErrCannotCreate):
		p.Answer.Denial = err
	case errors.Is(err, symbolon.ErrUnavailable):
		return fmt.Errorf("ask the application for a user: %w", err)
	case err != nil:
		return fmt.Errorf("ask the application for a user: %w: %w", symbolon.ErrUnavailable, err)
	case !decide.IsKey(string(user)):
		return fmt.Errorf("ask the application for a user: its answer cannot be an ID: %w", symbolon.ErrUnavailable)
	default:
		p.Answer.User = user
	}
	return nil
}

// query lists what the store has to read for a decision.
func (l *Linker) query(r symbolon.Reading, p decide.Policy) symbolon.Query {
	q := symbolon.Query{Project: l.project(), Reading: r, Claims: decide.ClaimedUsers(r.Identity, p)}
	if p.VerifiedEmail {
		q.Emails = r.Identity.Emails()
	}
	if p.OnReturn.Looks() {
		q.Address = l.addressRecord(r.Identity)
		for _, address := range r.Identity.Emails() {
			q.Addresses = append(q.Addresses, l.minter.Addresses(address)...)
		}
	}
	return q
}

// addressRecord is what the ledger records of the identity's first verified e-mail address. It
// is empty for an inactive identity, so that nobody gets the user of a banned person back.
func (l *Linker) addressRecord(id symbolon.Identity) string {
	verified := id.VerifiedEmails()
	if id.State == symbolon.Inactive || len(verified) == 0 {
		return ""
	}
	if records := l.minter.Addresses(verified[0]); len(records) > 0 {
		return records[0]
	}
	return ""
}

// AddressStale reports whether OnReturn needs another record of the identity's verified address
// than the one in the ledger's entry. A reading with a ticket replaces the record.
func (l *Linker) AddressStale(id symbolon.Identity, recorded string) bool {
	l.setup()
	return l.OnReturn.Looks() && recorded != l.addressRecord(id)
}

// finish runs after a plan was applied. It logs and notifies the watchers. For a new bond
// it also calls AfterLink and queues the back-reference.
func (l *Linker) finish(ctx context.Context, r symbolon.Reading, out symbolon.Outcome, err error) (symbolon.Link, error) {
	if err != nil {
		return symbolon.Link{}, err
	}
	l.logOutcome(r, out)
	l.watchers.notifyOutcome(r, out)
	if out.New {
		if l.When.Chooses() && r.Source != symbolon.FromRequest {
			l.watchers.notify(r.Identity.ID) // an earlier answer may say that the identity was not eligible
		}
		if l.AfterLink != nil {
			l.AfterLink(ctx, out.Link)
		}
		l.writer.enqueue(r, out.Link)
	}
	if out.Plan.Err != nil {
		return symbolon.Link{}, out.Plan.Err
	}
	return out.Link, nil
}

func (l *Linker) logOutcome(r symbolon.Reading, out symbolon.Outcome) {
	log := l.log().With("identity", r.Identity.ID, "user", out.Link.User, "source", r.Source)
	for _, f := range out.Opened {
		log.Warn("finding", "kind", f.Kind, "detail", f.Detail)
	}
	if out.New {
		log.Info("user linked", "why", out.Plan.Why)
	}
}
