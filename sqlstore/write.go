package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/pipeline"
)

// Tx is the transaction that makes a link. It is for [Store.OnLink] only, and must not be
// used after OnLink has returned.
type Tx struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// SQL returns the transaction. Do not commit it or roll it back. To roll it back, return an
// error from OnLink.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Raw gives f the driver's own connection, which is inside the transaction, like
// [sql.Conn.Raw]. Most programs won't need it; package pgxtx uses it.
func (t *Tx) Raw(f func(driverConn any) error) error { return t.conn.Raw(f) }

// last leaves statements to the commit.
func (t *Tx) last(statements []*pipeline.Statement) error {
	return t.conn.Raw(func(driverConn any) error {
		conn, ok := driverConn.(pipeline.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T cannot commit several statements together", driverConn)
		}
		return conn.Last(statements)
	})
}

// Errors that end an attempt and lead to another one.
var (
	errTaken   = errors.New("another writer was faster")
	errRefused = errors.New("the table refused the row")
	errNothing = errors.New("nothing to write")
)

// decideError carries an error of decide out of the transaction unchanged. It hides the
// error's chain, so that the store never mistakes it for an error of the database.
type decideError struct{ err error }

func (e decideError) Error() string { return e.err.Error() }

// maxTaken is how many times one call may find that another writer was faster.
const maxTaken = 4

// mode is how an attempt writes the user's row. Each refusal by the table leads to the next
// mode. A fault of the setup is an error for which Dialect.setup is true:
//
//	wholeRow        refused                      columnByColumn
//	columnByColumn  refused when it commits      activeAlone; leaveRow, if the plan ends the link
//	any             a fault of the setup         activeAlone
type mode int

const (
	wholeRow       mode = iota // one statement for the whole row
	columnByColumn             // a savepoint for each column; refused columns are left out
	activeAlone                // only the column that is filled from active, so that a ban always reaches the row
	leaveRow                   // the row is not changed. SQLite needs this, because it checks deferred constraints only at the commit
)

// Write makes one decision about an identity and applies it. It makes another attempt if
// the table refused the row, if another writer was faster, or if the commit got no answer.
// After a refusal it writes the row column by column and leaves the refused columns out.
func (s *Store) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	if err := ready(&q); err != nil {
		return symbolon.Outcome{}, err
	}
	var out symbolon.Outcome
	err := s.withShape(ctx, func(shape *shape) (err error) {
		out, err = s.write(ctx, shape, q, decide, firstMode(q))
		return err
	})
	if err != nil && s.refusalOf(err) != nil {
		if alone, again := s.write(ctx, s.shape.Load(), q, decide, activeAlone); again == nil {
			return alone, nil
		}
	}
	return out, err
}

// firstMode is the mode of the first attempt. If there are readings of others, the table
// has refused the whole row a moment ago.
func firstMode(q symbolon.Query) mode {
	if len(q.Others) > 0 {
		return columnByColumn
	}
	return wholeRow
}

// errNotAlone ends an attempt in the mode activeAlone that would write something else.
var errNotAlone = errors.New("the row has more to write than the column for active")

func (s *Store) write(ctx context.Context, shape *shape, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error), mode mode) (symbolon.Outcome, error) {
	late, first, unusable := false, mode, ""
	var commitUnknown *writer
	until := time.Now().Add(lockTimeout)
	for tries := 0; ; {
		var w *writer
		err := s.retry(ctx, func(waiting context.Context) error {
			w = &writer{store: s, shape: shape, q: q, decide: decide, mode: mode, late: late, unusable: unusable, commitUnknown: commitUnknown,
				now: s.now().UTC().Truncate(time.Microsecond)}
			return w.inTx(ctx, waiting)
		})
		declined, isDeclined := errors.AsType[decideError](err)
		taken, isTaken := errors.AsType[*symbolon.TakenError](err)
		reserved, isUnusable := errors.AsType[unusableError](err)
		switch {
		case err == nil, errors.Is(err, errNothing):
			if err == nil && (w.wrote || w.out.New) {
				s.noteWritten()
			}
			return w.out, nil
		case errors.Is(err, errCommitUnknown) && time.Now().Before(until):
			commitUnknown = w
		case isDeclined:
			return symbolon.Outcome{}, declined.err
		case isTaken:
			return symbolon.Outcome{}, taken
		case isUnusable && unusable == "":
			mode, late, unusable = first, false, reserved.why
		case errors.Is(err, errRefused) && mode == wholeRow, w != nil && w.together && w.plan.Reserved && s.Dialect.setup(err):
			mode = columnByColumn // there insertReserved finds out why a reserved ID cannot be used
		case errors.Is(err, errRefused) && mode == columnByColumn && w.plan.Action == symbolon.End:
			mode = leaveRow
		case errors.Is(err, errRefused) && mode == columnByColumn:
			mode, late = activeAlone, true
		case errors.Is(err, errTaken) && tries < maxTaken:
			tries++
		default:
			return symbolon.Outcome{}, s.failed(ctx, q, err)
		}
	}
}

// failed wraps an error that ends Write. Errors of OnLink and of the configuration are not
// ErrUnavailable; all others are.
func (s *Store) failed(ctx context.Context, q symbolon.Query, err error) error {
	doing := "write identity " + string(q.Reading.Identity.ID)
	if own, ok := errors.AsType[plainError](err); ok && s.own(ctx, err) {
		return fmt.Errorf("sqlstore: %s: %w", doing, own)
	}
	return unavailable(doing, err)
}

// own reports whether an error comes from OnLink or the configuration, and not from the
// database.
func (s *Store) own(ctx context.Context, err error) bool {
	_, own := errors.AsType[plainError](err)
	return own && ctx.Err() == nil && !gone(err) && !s.Dialect.outage(err)
}

// plainError is an error that a retry does not fix.
type plainError struct{ err error }

func (e plainError) Error() string { return e.err.Error() }

func (e plainError) Unwrap() error { return e.err }

// writer is one attempt at one Write.
type writer struct {
	store         *Store
	shape         *shape
	q             symbolon.Query
	decide        func(symbolon.Evidence) (symbolon.Plan, error)
	mode          mode
	late          bool   // the table refused the row only when it was committed
	unusable      string // why the reserved ID cannot be used; empty: it was not tried
	now           time.Time
	commitUnknown *writer // the previous attempt, if its commit got no answer

	lock      *pipeline.Statement // of the entry
	first     *firstReading
	others    *otherSpellings
	exchange  *exchange
	together  bool // the commit executes the statements in last, in its own round trip
	last      []*pipeline.Statement
	db        session
	read      reader
	before    entry // the ledger's entry as it was read
	entry     entry // the entry as it will be written
	plan      symbolon.Plan
	events    []symbolon.Event
	wrote     bool // something besides the entry was written
	movedBack bool // the plan undoes a merge in which the application moved its data
	waits     bool // columns were not written because of a fault of the setup
	out       symbolon.Outcome
}

// inTx makes the attempt in a transaction whose first statement is a write. An error or a
// panic rolls it back.
func (w *writer) inTx(ctx, waiting context.Context) error {
	s := w.store
	if w.commitUnknown != nil { // a limit, because Postgres may hold the lock of the lost connection for a long time
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(waiting, lockTimeout)
		defer cancel()
	}
	s.prepared.fulfil(waiting, s.DB)
	release, waited, err := turn(waiting, s.places(w.q.Reading.Source))
	if err != nil {
		return err
	}
	defer release()
	if waited && s.Dialect == SQLite && w.commitUnknown == nil {
		if err := w.peek(ctx); err != nil {
			return err
		}
	}
	w.lock = s.statement(lockEntry, w.q.Project, string(w.q.Reading.Identity.ID))
	w.read = reader{db: session{store: s}, shape: w.shape, now: w.now, shows: w.q.Ends}
	w.first = w.read.first(w.q)
	w.others = s.otherSpellings(w.shape, w.q.Reading.Identity.ID)
	var first []*pipeline.Statement
	if s.Dialect == Postgres && w.commitUnknown == nil && len(w.q.Others)+len(w.q.Locks) == 0 { // otherwise the lock has a limit of its own, or others come before it
		first = append(first, w.lock, w.first.statement)
		if w.others.statement != nil {
			first = append(first, w.others.statement)
		}
	}
	return s.transact(ctx, waiting, first, func(tx *Tx) error { return w.run(ctx, waiting, tx) })
}

// peek reads before the attempt locks, because after waiting in the queue the work is often
// done already by an earlier caller.
func (w *writer) peek(ctx context.Context) error {
	r := reader{db: session{store: w.store}, shape: w.shape, now: w.now, shows: w.q.Ends}
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
	if err := w.lockAll(waiting); err != nil {
		return err
	}
	if err := w.readAndDecide(ctx); err != nil {
		return err
	}
	if err := w.constraints(ctx, "immediate"); err != nil {
		return err
	}
	if err := w.apply(ctx); err != nil {
		return err
	}
	if err := w.finishExchange(ctx); err != nil {
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
	if err := w.callMerge(ctx, tx); err != nil {
		return err
	}
	if w.together {
		return tx.last(w.last)
	}
	return nil
}

// constraints makes Postgres check deferred constraints at once, because a refusal at the
// commit is too late for a savepoint.
func (w *writer) constraints(ctx context.Context, when string) error {
	if w.mode == wholeRow || w.store.Dialect != Postgres {
		return nil
	}
	_, err := w.db.tx.ExecContext(ctx, "set constraints all "+when)
	return err
}

// readAndDecide reads the evidence and calls decide.
func (w *writer) readAndDecide(ctx context.Context) error {
	w.read.db = w.db
	if err := w.read.readAfter(ctx, w.q, w.first); err != nil {
		return err
	}
	w.read.held.Unusable = w.unusable
	w.before, w.entry = w.read.entry, w.read.entry
	if w.resume() {
		return errNothing
	}
	if w.mode == wholeRow && w.before.Reason == symbolon.CannotCreate { // the table refused the row before and will probably refuse it again
		w.mode = columnByColumn
	}
	if err := w.ask(); err != nil {
		return err
	}
	if !w.plan.Conflict || w.store.Dialect == SQLite {
		return nil
	}
	// Claims that are refused at the same moment must be counted one after another.
	if _, err := w.db.exec(ctx, oneClaimAtATime, w.q.Project); err != nil {
		return err
	}
	if err := w.read.count(ctx, w.q.Project); err != nil {
		return err
	}
	return w.ask()
}

// commitsTogether reports whether the commit can execute the last statements in its own
// round trip. Then nobody can look at their results before the commit.
func (w *writer) commitsTogether() bool {
	return w.first.statement.Sent && w.mode == wholeRow && w.store.OnLink == nil && w.plan.Action == symbolon.Create &&
		w.plan.Retire == "" && (!w.plan.Reserved || w.shape.source.draws())
}

func (w *writer) ask() (err error) {
	if w.plan, err = w.decide(w.read.held); err != nil {
		return decideError{err}
	}
	return nil
}

// record writes the entry, the events and the findings. If all of them exist already, it rolls
// the transaction back. Otherwise an entry that was made only as a lock would stay.
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
			w.out = w.commitUnknown.out
		}
		return errNothing
	}
	if w.entry != w.before {
		if err := w.save(ctx); err != nil {
			return err
		}
		if err := w.recordAddress(ctx); err != nil {
			return err
		}
	}
	for _, e := range w.events {
		statement, err := w.store.eventStatement(w.q.Project, moment{w.now}, e)
		if err != nil {
			return err
		}
		if err := w.lastly(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// lastly executes a statement, or leaves it to the commit.
func (w *writer) lastly(ctx context.Context, statement *pipeline.Statement) error {
	if !w.together {
		return w.db.do(ctx, statement)
	}
	w.last = append(w.last, statement)
	return nil
}

// save writes the entry. A link is saved only if the user's row that was written holds the
// identity; this is the only place that proves it, whichever way the row was written. A
// refusal by the ledger's own constraints means that another writer linked the user at this
// moment.
func (w *writer) save(ctx context.Context) error {
	e, id := w.entry, string(w.entry.Identity)
	if e.State == symbolon.Also {
		return w.saveAlso(ctx)
	}
	args := []any{null(e.User), string(e.State), string(e.Reason), string(e.Source), moment{e.At}, int64(e.Ticket),
		e.digest, e.BackReference, w.q.Project, id}
	if w.together {
		text := bindEntryOrFail
		if w.plan.Reserved {
			text = bindReservedOrFail(w.shape.source)
		}
		return w.lastly(ctx, w.store.statement(text, append(args, id)...))
	}
	if e.State != symbolon.Linked || !w.out.New && !w.wrote {
		return w.saved(ctx, w.db.change(ctx, saveEntry, saveArgs(e)...))
	}
	text := keepEntry
	if row := w.read.held.Row; w.out.New && (row == nil || row.ID != e.User) {
		text = bindEntry
	}
	return w.saved(ctx, w.db.change(ctx, text, append(args, id)...))
}

// saved returns the error that the result of save's statement means.
func (w *writer) saved(ctx context.Context, err error) error {
	if errors.Is(err, errTaken) && w.entry.State == symbolon.Linked && (w.wrote || w.plan.Action == symbolon.Create) {
		if undone := w.stillHeld(ctx, w.entry.User); undone != nil {
			return w.store.Dialect.refusalAs(errRefused, undone)
		}
	}
	return w.store.Dialect.refusalAs(errTaken, err)
}

// event notes an event about this identity's link.
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
