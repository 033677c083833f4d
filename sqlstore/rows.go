package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// A row is first written by one statement with all columns. If the table refuses the row,
// the whole transaction is repeated, column by column. The required columns come first.
// Then each other column is written after its own savepoint, and refused columns are left
// out.

// try sets a savepoint and runs f. refusal is the table's refusal, after a rollback to the
// savepoint; err is any other error.
func (w *writer) try(ctx context.Context, f func() error) (refusal, err error) {
	if _, err := w.db.tx.ExecContext(ctx, "savepoint symbolon"); err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		if !w.store.Dialect.refusedBy(err) {
			return nil, err
		}
		if _, back := w.db.tx.ExecContext(ctx, "rollback to savepoint symbolon"); back != nil {
			return nil, errors.Join(err, back)
		}
		refusal = err
	}
	_, err = w.db.tx.ExecContext(ctx, "release savepoint symbolon")
	return refusal, err
}

// refusalAs marks the table's refusal with mark. It returns other errors unchanged.
func (d Dialect) refusalAs(mark, err error) error {
	if err != nil && d.refusedBy(err) {
		return fmt.Errorf("%w: %w", mark, err)
	}
	return err
}

// insertUser makes the planned user. An empty ID without an error means that the table
// refused the row, and that this was recorded.
func (w *writer) insertUser(ctx context.Context) (symbolon.UserID, []cell, []leftOut, error) {
	var planned symbolon.UserID
	var key any
	if w.plan.User != "" {
		var ok bool
		if planned, key, ok = w.shape.key(w.plan.User); !ok && w.plan.Reserved {
			return "", nil, nil, unusableError{"it cannot be a key of table " + w.shape.users.table()}
		} else if !ok {
			return "", nil, nil, plainError{fmt.Errorf("the new ID %q cannot be a key of table %s", w.plan.User, w.shape.users.table())}
		}
	}
	cells := w.shape.paths(w.q.Reading.Identity)
	form := w.shape.signUp(w.q.Reading.Identity)
	base, optional := w.shape.sortCells(slices.Concat(cells, form), w.now)
	refused := refusedCells(slices.Concat(cells, form))
	if w.mode == activeAlone {
		return w.insertActive(ctx, key, base, optional, cells)
	}
	whole := slices.Concat(base, optional)
	if w.together && key != nil {
		columns, values := w.shape.newRow(key, w.q.Reading.Identity.ID, whole)
		text := insertInto(columns)
		if w.plan.Reserved {
			text = w.shape.source.insertInto(columns)
		}
		return planned, cells, refused, w.lastly(ctx, w.store.statement(text, values...))
	}
	if w.mode == wholeRow {
		id, err := w.insert(ctx, key, whole)
		return id, cells, refused, w.store.Dialect.refusalAs(errRefused, err)
	}
	id, refusal, err := w.tryInsert(ctx, key, whole)
	if err != nil || refusal == nil {
		return id, cells, refused, err
	}
	if id, err = w.insertBase(ctx, key, base); err != nil || id == "" {
		return "", nil, nil, err
	}
	left, err := w.writeOneByOne(ctx, id, optional)
	return id, cells, append(refused, left...), err
}

// insertActive makes the planned user with the required columns and the column that is filled
// from active.
func (w *writer) insertActive(ctx context.Context, key any, base, optional, cells []cell) (symbolon.UserID, []cell, []leftOut, error) {
	if !w.late {
		return "", nil, nil, errNotAlone
	}
	active, others := onlyActive(optional)
	id, err := w.insert(ctx, key, slices.Concat(base, active))
	return id, cells, append(refusedCells(cells), refusedLate(others)...), err
}

// onlyActive separates the cells that are filled from active from the others.
func onlyActive(cells []cell) (active, others []cell) {
	for _, c := range cells {
		if c.Path == "active" {
			active = append(active, c)
		} else {
			others = append(others, c)
		}
	}
	return active, others
}

func refusedLate(cells []cell) (left []leftOut) {
	for _, c := range cells {
		left = append(left, leftOut{column: c.name, kind: symbolon.ColumnRefused, why: "the table refused the row when it was committed"})
	}
	return left
}

// sortCells separates the values of required columns from the others.
func (t *shape) sortCells(cells []cell, now time.Time) (base, optional []cell) {
	base = slices.DeleteFunc(t.literals(now), func(c cell) bool { return c.unfit != "" })
	for _, c := range cells {
		switch {
		case c.param == nil, c.unfit != "": // left to the column's default
		case c.notNull && !c.preset:
			base = append(base, c)
		default:
			optional = append(optional, c)
		}
	}
	return base, optional
}

func refusedCells(cells []cell) []leftOut {
	var left []leftOut
	for _, c := range cells {
		if c.refused != "" && c.unfit == "" {
			left = append(left, leftOut{column: c.name, kind: symbolon.ColumnRefused, why: c.refused})
		}
	}
	return left
}

// newRow returns the columns of a new row and their values. The database chooses the key if
// key is nil.
func (t *shape) newRow(key any, identity symbolon.IdentityID, cells []cell) (columns []string, values []any) {
	if key != nil {
		columns, values = append(columns, t.users.id()), append(values, key)
	}
	if !t.users.one() {
		columns, values = append(columns, t.users.identity()), append(values, string(identity))
	}
	for _, c := range cells {
		columns, values = append(columns, c.name), append(values, c.param)
	}
	return columns, values
}

// insert inserts a row. errUsed means that the returned ID was given to another person
// before.
func (w *writer) insert(ctx context.Context, key any, cells []cell) (id symbolon.UserID, err error) {
	if w.plan.Reserved && w.store.NewID() == ByDatabase {
		return w.insertReserved(ctx, key, cells)
	}
	columns, values := w.shape.newRow(key, w.q.Reading.Identity.ID, cells)
	var used bool
	err = w.db.queryRow(ctx, insertRow(w.shape.users, columns, key == nil && w.shape.givesAgain()), append(values, w.q.Project)...).Scan(&id, &used)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = errIgnored
	case err == nil && used:
		err = errUsed
	}
	return id, err
}

// givesAgain reports whether the database may choose the ID of a deleted row for a new row.
func (t *shape) givesAgain() bool { return t.dialect == SQLite && t.id.kind.integer() }

var errUsed = errors.New("the ID belonged to another person before")

// tryInsert sets a savepoint and calls insert.
func (w *writer) tryInsert(ctx context.Context, key any, cells []cell) (id symbolon.UserID, refusal, err error) {
	refusal, err = w.try(ctx, func() (err error) {
		if id, err = w.insert(ctx, key, cells); err != nil {
			return err
		}
		return w.stillHeld(ctx, id)
	})
	return id, refusal, err
}

// insertBase inserts the required columns, or finds out why that is not possible.
func (w *writer) insertBase(ctx context.Context, key any, base []cell) (symbolon.UserID, error) {
	id, refusal, err := w.tryInsert(ctx, key, base)
	if err == nil && errors.Is(refusal, errUsed) && key == nil && w.shape.givesAgain() {
		var highest int64
		if err := w.db.queryRow(ctx, usedNumber, w.q.Project).Scan(&highest); err != nil {
			return "", err
		}
		id, refusal, err = w.tryInsert(ctx, highest+1, base)
	}
	if err == nil && refusal != nil && w.store.Dialect.duplicate(refusal) {
		freed, err := w.freeFor(ctx, base, refusal)
		if err != nil {
			return "", err
		}
		if freed {
			if id, refusal, err = w.tryInsert(ctx, key, base); err != nil {
				return "", err
			}
		}
	}
	if err != nil || refusal == nil {
		return id, err
	}
	if isUnusable(refusal) {
		return "", refusal
	}
	if errors.Is(refusal, errUsed) {
		return "", w.refuse(fmt.Sprintf("the new user would get the ID %s, which belonged to another person before", id))
	}
	return "", w.whyNoRow(ctx, key, refusal)
}

// whyNoRow distinguishes a row that exists already from a row that the table refuses.
func (w *writer) whyNoRow(ctx context.Context, key any, refusal error) error {
	holder, err := w.row(ctx, rowOfIdentity, string(w.q.Reading.Identity.ID))
	if err != nil {
		return err
	}
	if holder != nil {
		return fmt.Errorf("%w: %w", errTaken, refusal)
	}
	if key != nil {
		same, err := w.row(ctx, rowOfID, key)
		switch {
		case err != nil:
			return err
		case same != nil && w.store.NewID() == ByIdentity:
			return w.refuse(fmt.Sprintf("the user with the ID %s exists already, and its row does not name the identity; decide with symbolon bind", same.ID))
		case same != nil:
			return fmt.Errorf("%w: %w", errTaken, refusal)
		}
	}
	if w.plan.Reserved {
		return unusableError{w.store.Dialect.describe(refusal)}
	}
	if w.store.Dialect.duplicate(refusal) { // but no row with the value was found: it may be hidden
		if err := w.read.mayBeHidden(ctx); err != nil {
			return err
		}
	}
	if len(w.shape.needs) > 0 && w.store.Dialect.leftNull(refusal) {
		return emptyError{joined(w.shape.needs)} // it is the same for everybody
	}
	why := w.store.Dialect.describe(refusal)
	if none := w.required(); len(none) > 1 && w.store.Dialect.leftNull(refusal) { // the database names only the first
		why += "; Ory has no value for the required columns " + strings.Join(none, ", ")
	}
	return w.refuse(fmt.Sprintf("table %s refused the row: %s", w.shape.users.table(), why))
}

// required returns the required columns for which the identity has no value.
func (w *writer) required() (names []string) {
	for _, c := range w.shape.paths(w.q.Reading.Identity) {
		if c.notNull && !c.preset && c.param == nil {
			names = append(names, c.name)
		}
	}
	return names
}

func (w *writer) row(ctx context.Context, text string, arg any) (*symbolon.Row, error) {
	var s scannedRow
	err := w.db.queryRow(ctx, text, arg).Scan(&s.id, &s.identity)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return s.row(), err
}

// takeRow writes the identity to the user's row and removes it from every other row. refusal
// is the table's refusal.
func (w *writer) takeRow(ctx context.Context, user symbolon.UserID, key any) (refusal string, err error) {
	id, row := w.q.Reading.Identity.ID, w.read.held.Row
	if row != nil && row.ID == user {
		return "", nil
	}
	if w.shape.users.one() {
		return "", plainError{&symbolon.ConflictError{Identity: id, User: user, Reason: "the table's key is the identity's ID, so a user can never get another identity"}}
	}
	take := func() error { return w.takeColumn(ctx, key) }
	if w.mode == wholeRow {
		return "", w.store.Dialect.refusalAs(errRefused, take())
	}
	refused, err := w.try(ctx, func() error {
		if err := take(); err != nil {
			return err
		}
		return w.stillHeld(ctx, user)
	})
	if err != nil || refused == nil {
		return "", err
	}
	holder, err := w.row(ctx, rowOfIdentity, string(id))
	if err != nil {
		return "", err
	}
	if holder != nil && (row == nil || holder.ID != row.ID) {
		return "", fmt.Errorf("%w: %w", errTaken, refused)
	}
	return w.store.Dialect.describe(refused), nil
}

func (w *writer) takeColumn(ctx context.Context, key any) error {
	id := string(w.q.Reading.Identity.ID)
	if w.plan.Release != "" {
		if _, err := w.db.exec(ctx, clearIdentity, key, string(w.plan.Release)); err != nil {
			return err
		}
	}
	if w.read.held.Row != nil {
		if _, err := w.db.exec(ctx, clearOtherRows, id, key); err != nil {
			return err
		}
	}
	if err := w.changeRow(ctx, key, []symbolon.IdentityID{"", w.q.Reading.Identity.ID}, setIdentity, id, key, id); err != nil {
		return err
	}
	w.wrote = true
	return nil
}

// writeColumns writes Ory's data to the row that holds the identity. A column whose path has
// no value becomes null, if the column allows it.
func (w *writer) writeColumns(ctx context.Context, user symbolon.UserID) ([]cell, []leftOut, error) {
	cells := w.shape.paths(w.q.Reading.Identity)
	left, err := w.writeCells(ctx, user, slices.Concat(cells, w.sentForm()))
	if err == nil {
		err = w.emptyLeft(ctx, user, cells, left)
	}
	return cells, left, err
}

// writeCells writes those cells that can be written.
func (w *writer) writeCells(ctx context.Context, user symbolon.UserID, cells []cell) ([]leftOut, error) {
	left := refusedCells(cells)
	writable := slices.DeleteFunc(slices.Clone(cells), func(c cell) bool {
		return c.unfit != "" || c.refused != "" || c.param == nil && c.notNull
	})
	if len(writable) == 0 {
		return left, nil
	}
	writable = append(writable, w.shape.touches(w.now)...)
	if w.mode == activeAlone {
		more, err := w.writeActive(ctx, user, writable)
		return append(left, more...), err
	}
	if w.mode != wholeRow || strings.HasPrefix(w.before.digest, refusedMark) {
		more, err := w.writeOneByOne(ctx, user, writable)
		return append(left, more...), err
	}
	return left, w.store.Dialect.refusalAs(errRefused, w.set(ctx, user, writable))
}

// writeActive writes only the cells that are filled from active. The next reading tries the
// others again.
func (w *writer) writeActive(ctx context.Context, user symbolon.UserID, cells []cell) ([]leftOut, error) {
	active, others := onlyActive(cells)
	if len(active) == 0 && !w.late {
		return nil, errNotAlone
	}
	left, err := w.writeOneByOne(ctx, user, active)
	if w.late {
		return append(left, refusedLate(others)...), err
	}
	w.waits = true
	return left, err
}

// writeOneByOne writes each cell after a savepoint of its own, and the column for active
// first.
func (w *writer) writeOneByOne(ctx context.Context, user symbolon.UserID, cells []cell) (left []leftOut, err error) {
	left, taken, err := w.setEach(ctx, user, cells)
	if err != nil || len(taken) == 0 || w.plan.Action == symbolon.End {
		return append(left, w.judge(taken)...), err
	}
	taken, err = w.exchangeFor(ctx, user, taken)
	return append(left, w.judge(taken)...), err
}

// refusedCell is a cell that the table refused because its value must be unique.
type refusedCell struct {
	cell
	refusal error
	why     string // what is known of the row that has the value
}

// setEach writes each cell after a savepoint of its own. taken are the cells whose values
// other rows have.
func (w *writer) setEach(ctx context.Context, user symbolon.UserID, cells []cell) (left []leftOut, taken []refusedCell, err error) {
	active, others := onlyActive(cells)
	for _, c := range append(active, others...) {
		if c.unfit != "" {
			left = append(left, leftOut{column: c.name, kind: symbolon.ColumnRefused, why: c.unfit})
			continue
		}
		refusal, err := w.try(ctx, func() error {
			if err := w.set(ctx, user, []cell{c}); err != nil || w.plan.Action == symbolon.End { // then the row need not hold the identity afterwards
				return err
			}
			return w.stillHeld(ctx, user)
		})
		switch {
		case err != nil:
			return nil, nil, err
		case refusal != nil && w.store.Dialect.duplicate(refusal):
			taken = append(taken, refusedCell{cell: c, refusal: refusal})
		case refusal != nil:
			left = append(left, leftOut{column: c.name, kind: symbolon.ColumnRefused, why: w.store.Dialect.describe(refusal)})
		}
	}
	return left, taken, nil
}

// judge says why cells whose values other rows have were left out.
func (w *writer) judge(taken []refusedCell) (left []leftOut) {
	for _, c := range taken {
		l := leftOut{column: c.name, kind: symbolon.DuplicateValue, why: w.store.Dialect.describe(c.refusal)}
		if strings.Contains(c.raw, "@") {
			l.kind, l.why = symbolon.DuplicateEmail, "another user has the address"
		}
		if c.why != "" {
			l.why += " (" + c.why + ")"
		}
		left = append(left, l)
	}
	return left
}

// set writes cells to the row, if the row still holds the identity.
func (w *writer) set(ctx context.Context, user symbolon.UserID, cells []cell) error {
	_, key, _ := w.shape.key(user)
	var columns []string
	var args []any
	for _, c := range cells {
		columns, args = append(columns, c.name), append(args, c.param)
	}
	id := w.q.Reading.Identity.ID
	if err := w.changeRow(ctx, key, []symbolon.IdentityID{id}, updateRow(columns), append(args, key, string(id))...); err != nil {
		return err
	}
	w.wrote = true
	return nil
}

// errIgnored is a refusal: the row was not written, although the database reports no error. A
// trigger that returns null, or does raise(ignore) on SQLite, has this effect.
var errIgnored = errors.New("a trigger or a rule of the table ignored the write, without an error")

// errUndone is a refusal: the row was written, and does not hold the identity any more.
var errUndone = errors.New("a trigger or a rule of the table changed the key or the identity of the row, or deleted the row")

// stillHeld returns errUndone if the user's row, which this transaction has written, does not
// hold the identity.
func (w *writer) stillHeld(ctx context.Context, user symbolon.UserID) error {
	row, err := w.row(ctx, rowOfIdentity, string(w.q.Reading.Identity.ID))
	if err == nil && (row == nil || row.ID != user) {
		err = errUndone
	}
	return err
}

// changeRow runs a statement that must change the row with the key, which holds one of the
// identities. If it changes no row, changeRow finds out why.
func (w *writer) changeRow(ctx context.Context, key any, holding []symbolon.IdentityID, text string, args ...any) error {
	err := w.db.change(ctx, text, args...)
	if !errors.Is(err, errTaken) {
		return err
	}
	row, unread := w.row(ctx, rowOfID, key)
	if unread != nil || row == nil || !slices.Contains(holding, row.Identity) {
		return errors.Join(err, unread)
	}
	if err := (&reader{db: w.db}).mayBeHidden(ctx); err != nil { // a policy may hide the row from updates
		return err
	}
	return errIgnored
}
