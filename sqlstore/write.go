package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Tx is the transaction in which a bond is made. It is for [Store.OnLink] only
// and ends when that returns.
type Tx struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// SQL returns the transaction. Do not commit it or roll it back: an error from
// OnLink does the latter.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Raw lends the driver's own connection, which is inside the transaction, as
// [sql.Conn.Raw] does. Most programs won't need it: package pgxtx is built on it.
func (t *Tx) Raw(f func(driverConn any) error) error { return t.conn.Raw(f) }

// What ends an attempt at a transaction so that another is made.
var (
	errTaken   = errors.New("somebody else was faster")
	errRefused = errors.New("the table refused the row")
	errNothing = errors.New("nothing to write")
)

// decideError carries an error of decide out of the transaction unchanged. It
// hides the chain: the store must not take it for one of the database.
type decideError struct{ err error }

func (e decideError) Error() string { return e.err.Error() }

// taken bounds how often one call may find that somebody else was faster.
const taken = 4

// Write takes one decision about an identity and carries it out.
func (s *Store) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	shape, err := s.ready(ctx, &q)
	if err != nil {
		return symbolon.Outcome{}, err
	}
	careful, hopeless := false, false
	var vague *writer
	until := time.Now().Add(patience)
	for tries := 0; ; {
		var w *writer
		err := s.patiently(ctx, func(waiting context.Context) error {
			w = &writer{store: s, shape: shape, q: q, decide: decide, careful: careful, hopeless: hopeless, vague: vague,
				now: s.now().UTC().Truncate(time.Microsecond)}
			return w.inTx(ctx, waiting)
		})
		var declined decideError
		switch {
		case err == nil, errors.Is(err, errNothing):
			return w.out, nil
		case errors.Is(err, errVague) && time.Now().Before(until):
			vague = w
		case errors.As(err, &declined):
			return symbolon.Outcome{}, declined.err
		case errors.Is(err, errRefused) && !careful:
			careful = true
		case errors.Is(err, errRefused) && w.plan.Action == symbolon.End && !hopeless:
			hopeless = true // SQLite tells of deferred constraints at the commit only
		case errors.Is(err, errTaken) && tries < taken:
			tries++
		default:
			return symbolon.Outcome{}, s.failed(ctx, q, err)
		}
	}
}

// failed names an error that ends Write. OnLink's own errors and those of the
// configuration are not the database's.
func (s *Store) failed(ctx context.Context, q symbolon.Query, err error) error {
	doing := "write identity " + string(q.Reading.Identity.ID)
	var own plainError
	if errors.As(err, &own) && s.own(ctx, err) {
		return fmt.Errorf("sqlstore: %s: %w", doing, own.err)
	}
	return unavailable(doing, err)
}

// own says that an error is OnLink's or the configuration's, and not the database's.
func (s *Store) own(ctx context.Context, err error) bool {
	var own plainError
	return errors.As(err, &own) && ctx.Err() == nil && !gone(err) && !s.Dialect.outage(err)
}

// plainError is an error that a retry does not mend.
type plainError struct{ err error }

func (e plainError) Error() string { return e.err.Error() }

func (e plainError) Unwrap() error { return e.err }

// writer is one attempt at one Write.
type writer struct {
	store   *Store
	shape   *shape
	q       symbolon.Query
	decide  func(symbolon.Evidence) (symbolon.Plan, error)
	careful bool // the table refused something: find out what, behind savepoints

	hopeless bool // it refuses even then, at the commit: a row that is buried is left
	now      time.Time
	vague    *writer // the attempt before this one, if nobody knows what became of it

	db     session
	read   reader
	before entry // the ledger's entry as it was found
	entry  entry // as it will be
	plan   symbolon.Plan
	events []symbolon.Event
	wrote  bool // something else than the entry
	out    symbolon.Outcome
}

// inTx makes the attempt in a transaction whose first statement is a write. An
// error, and a panic, undo it.
func (w *writer) inTx(ctx, waiting context.Context) error {
	s := w.store
	if w.vague != nil { // whose connection may be waited for in vain
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(waiting, patience)
		defer cancel()
	}
	s.prepared.fulfil(waiting, s.DB)
	release, waited, err := s.turn(waiting)
	if err != nil {
		return err
	}
	defer release()
	if waited && w.vague == nil {
		if err := w.peek(ctx); err != nil {
			return err
		}
	}
	return s.transact(ctx, waiting, func(tx *Tx) error { return w.run(ctx, waiting, tx) })
}

// peek looks before it locks. Whoever had to queue was often there for the same
// person as those before, and finds it done.
func (w *writer) peek(ctx context.Context) error {
	r := reader{db: session{store: w.store}, shape: w.shape, now: w.now}
	if err := r.read(ctx, w.q); err != nil {
		return err
	}
	plan, err := w.decide(r.held)
	if err != nil {
		return decideError{err}
	}
	if plan.Action != symbolon.Keep || r.entry.none() {
		return nil
	}
	w.out = symbolon.Outcome{Link: r.entry.Link, Plan: plan}
	return errNothing
}

func (w *writer) run(ctx, waiting context.Context, tx *Tx) error {
	w.db = session{store: w.store, tx: tx.tx}
	id := w.q.Reading.Identity.ID
	if _, err := w.db.exec(waiting, lockEntry, w.q.Project, string(id)); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.constraints(ctx, "immediate"); err != nil {
		return err
	}
	if err := w.carryOut(ctx); err != nil {
		return err
	}
	if err := w.record(ctx); err != nil {
		return err
	}
	if err := w.constraints(ctx, "deferred"); err != nil {
		return err
	}
	w.out.Link, w.out.Plan = w.entry.Link, w.plan
	if w.out.New && w.store.OnLink != nil {
		if err := w.store.OnLink(ctx, tx, w.out.Link); err != nil {
			return plainError{fmt.Errorf("on link: %w", err)}
		}
	}
	return nil
}

// constraints has those checked at once that Postgres would check at the end: a
// savepoint cannot go back from there.
func (w *writer) constraints(ctx context.Context, when string) error {
	if !w.careful || w.store.Dialect != Postgres {
		return nil
	}
	_, err := w.db.tx.ExecContext(ctx, "set constraints all "+when)
	return err
}

// settle reads what is held and has it decided.
func (w *writer) settle(ctx context.Context) error {
	w.read = reader{db: w.db, shape: w.shape, now: w.now}
	if err := w.read.read(ctx, w.q); err != nil {
		return err
	}
	w.before, w.entry = w.read.entry, w.read.entry
	if w.resume() {
		return errNothing
	}
	w.careful = w.careful || w.before.Reason == symbolon.CannotCreate // it will hardly be otherwise now
	if err := w.ask(); err != nil {
		return err
	}
	if !w.plan.Conflict || w.store.Dialect == SQLite {
		return nil
	}
	// Claims that are refused at the same moment are counted one after another.
	if _, err := w.db.exec(ctx, oneClaimAtATime, w.q.Project); err != nil {
		return err
	}
	if err := w.read.count(ctx, w.q.Project); err != nil {
		return err
	}
	return w.ask()
}

func (w *writer) ask() (err error) {
	if w.plan, err = w.decide(w.read.held); err != nil {
		return decideError{err}
	}
	return nil
}

// record writes the entry, the events and the findings. Where all of it is there
// already the transaction is undone: an entry that was only locked leaves nothing.
func (w *writer) record(ctx context.Context) error {
	if err := w.recordFindings(ctx); err != nil {
		return err
	}
	if w.entry == w.before && len(w.events) == 0 && !w.wrote {
		w.out.Link, w.out.Plan = w.entry.Link, w.plan
		if w.entry.none() {
			w.out.Link = symbolon.Link{}
		}
		if w.repeats() {
			w.out = w.vague.out
		}
		return errNothing
	}
	if w.entry != w.before {
		if err := w.save(ctx); err != nil {
			return err
		}
	}
	for _, e := range w.events {
		if err := w.db.recordEvent(ctx, w.q.Project, moment{w.now}, e); err != nil {
			return err
		}
	}
	return nil
}

// save writes the entry. The ledger's own refusal means that somebody else bound
// the user in this moment.
func (w *writer) save(ctx context.Context) error {
	e, text := w.entry, saveEntry
	if row := w.read.held.Row; w.out.New && (row == nil || row.ID != e.User) {
		text = bindEntry
	}
	n, err := w.db.exec(ctx, text, null(e.User), string(e.State), string(e.Reason), string(e.Source), moment{e.At}, int64(e.Ticket),
		e.digest, e.BackReference, w.q.Project, string(e.Identity))
	if err != nil && w.store.Dialect.refusedBy(err) {
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	if err == nil && n == 0 {
		return errTaken
	}
	return err
}

// event notes a change of this identity's bond.
func (w *writer) event(e symbolon.Event) {
	if e.Identity == "" {
		e.Identity = w.q.Reading.Identity.ID
	}
	e.Source, e.Run = w.q.Reading.Source, w.plan.Run
	w.events = append(w.events, e)
}

func null[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}
