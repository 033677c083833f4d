package sqlstore

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon/projection"
)

// The application may alter its users table while Symbolon runs. An error about the table's
// shape makes the store read the shape again. Concurrent calls share the reading. Columns
// that are filled and can no longer be written are left out until they can be written
// again. The key, the identity column and the columns for adopting by e-mail are never left
// out, because they decide which user an identity has. Without them a call ends with
// ErrUnavailable.

// shapeEvery is the shortest time between two readings of the shape because of errors, so that
// a broken table is not read for each request. faultyEvery is the time after which a faulty
// shape is read again although no call has failed, because a column that was added again
// causes no error. lifetime is the same for a shape without faults, because a column whose
// type was changed may cause no error either. shapeLimit is how long one reading may last,
// because other callers wait for it.
const (
	shapeEvery  = time.Second
	faultyEvery = 10 * time.Second
	lifetime    = time.Minute
	shapeLimit  = 10 * time.Second
)

// reshapes is how often one call may find that the shape has changed.
const reshapes = 3

// shape is the users table: its description by the application and by the database.
type shape struct {
	users    Users
	dialect  Dialect
	id       column
	identity column
	columns  []filled          // the projected columns, in the order of their names
	others   map[string]column // all columns, by name
	needs    []*Fault          // required columns that a new row would leave empty
	source   keySource         // the place from which the database takes the keys of new rows
	read     table             // the database's description
}

// filled is a projected column.
type filled struct {
	column
	projection.Projection
	quiet bool   // an object or an array that does not fit is no finding
	unfit string // why the column is left out; empty: it is written
}

// Reasons why a column is left out.
const (
	unfitMissing   = "the table has no such column"
	unfitGenerated = "the column is generated"
	unfitConstant  = "the value does not fit the column's type"
)

// incomplete reports whether some column is left out.
func (t *shape) incomplete() bool {
	return slices.ContainsFunc(t.columns, func(f filled) bool { return f.unfit != "" })
}

// tableState is what the store knows about the users table.
type tableState struct {
	mu      sync.Mutex
	at      time.Time // the time of the last reading
	again   time.Time // the time of the last reading that an error caused
	changed time.Time // the time of the last reading that found another shape
	faults  []*Fault  // the faults that the last reading found
	refusal *Fault    // the database refuses rows; see refusal.go
	refused time.Time // the time of the last refusal
	typed   bool      // the refusal may be caused by the shape; a new shape ends it
}

// table returns the shape of the users table. The first call reads it. If the database does
// not answer, the next call reads it again.
func (s *Store) table(ctx context.Context) (*shape, error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	if known := s.shape.Load(); known != nil {
		s.refresh(ctx)
		return s.shape.Load(), nil
	}
	err := s.retry(ctx, func(waiting context.Context) error {
		release, err := s.readingTurn(waiting)
		if err != nil {
			return err
		}
		defer release()
		if s.shape.Load() != nil {
			return nil
		}
		return s.readShape(waiting)
	})
	if err != nil {
		return nil, unavailable("read the shape of table "+s.users().table(), err)
	}
	return s.shape.Load(), nil
}

func (s *Store) readingTurn(ctx context.Context) (release func(), err error) {
	select {
	case s.reading <- struct{}{}:
		return func() { <-s.reading }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refresh reads the shape again if the last reading is old, unless another caller is
// reading it now. If the database does not answer, the shape stays the same.
func (s *Store) refresh(ctx context.Context) {
	if !s.state.old() {
		return
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		return
	}
	if s.state.old() && s.readShape(ctx) != nil {
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		s.state.at = time.Now()
	}
}

// old reports whether the last reading is old. It is old earlier if it found faults.
func (t *tableState) old() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	age := time.Since(t.at)
	return age > lifetime || len(t.faults) > 0 && age > faultyEvery
}

// distrust makes the last reading old.
func (t *tableState) distrust() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Time{}
}

// mayReadAgain reports whether an error may cause a reading now. If so, it notes the time
// of the reading.
func (t *tableState) mayReadAgain() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.again) < shapeEvery {
		return false
	}
	t.again = time.Now()
	return true
}

// readShape reads the shape. If a shape lacks a column that decides which user an identity
// has, the known shape stays. The caller holds s.reading.
func (s *Store) readShape(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shapeLimit)
	defer cancel()
	t, err := readTable(ctx, s.DB, s.Dialect, s.users().parts())
	if err != nil {
		return err
	}
	source, err := s.readKeySource(ctx, s.DB)
	if err != nil {
		return err
	}
	known := s.shape.Load()
	found, faults := fitUsers(s.users(), s.Dialect, t, known)
	if p := s.spelling(t); p.column.name != "" && p.column.collation == "" { // Postgres refuses to compare it by like
		if found.read.spelling, err = s.proves(ctx, &p); err != nil {
			return err
		}
		faults = append(faults, s.spellingFaults(ctx, p, found.read.spelling)...)
	}
	if found != nil {
		found.source = source
	}
	s.noteFaults(faults)
	switch err := fatal(faults); {
	case err != nil && known == nil:
		return err
	case err == nil && (known == nil || known.source != source || !reflect.DeepEqual(known.read, found.read)):
		s.shape.Store(found)
		s.noteShape(known != nil)
	}
	return nil
}

// noteShape notes that the table has a new shape.
func (s *Store) noteShape(changed bool) {
	if !changed {
		return
	}
	s.change(func(t *tableState) {
		t.changed = time.Now()
		if t.typed {
			t.refusal = nil
		}
	})
}

// stalePlans is how many times one call may meet an error of a stale plan. The number is high
// after the table was altered, because each connection of the pool may have such a plan.
// Otherwise it is one, because a broken trigger causes the same errors.
func (t *tableState) stalePlans() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.changed) < stalePlanLifetime {
		return 2 * demotions
	}
	return 1
}

// stalePlanLifetime is how long connections of the pool may still have old plans after the store
// has found that the table was altered.
const stalePlanLifetime = 10 * time.Minute

// fatal joins the faults with which a shape cannot be used.
func fatal(faults []error) error {
	var out []error
	for _, err := range faults {
		if f, ok := errors.AsType[*Fault](err); !ok || !f.LeftOut && !f.atStart {
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

// errNoKey says that the linked user's ID cannot be a key of the table. If the key has another
// type now, it can.
var errNoKey = errors.New("it cannot be a key of table")

// reshape looks for a new shape after a call has failed with err. If the shape has changed,
// reshape returns the new shape, and the call must be repeated with it. Otherwise, or if
// err has another cause, reshape returns nil.
func (s *Store) reshape(ctx context.Context, used *shape, err error) *shape {
	if _, own := errors.AsType[plainError](err); (own || !s.Dialect.misshapen(err)) && !errors.Is(err, errNoKey) {
		return nil
	}
	release, ended := s.readingTurn(ctx)
	if ended != nil {
		return nil
	}
	defer release()
	if s.shape.Load() == used && s.state.mayReadAgain() {
		_ = s.readShape(ctx) // if it fails, the caller returns its first error
	}
	if now := s.shape.Load(); now != used {
		return now
	}
	return nil
}

// withShape calls f with the table's shape. If f fails because the shape has changed,
// withShape calls f again with the new shape.
func (s *Store) withShape(ctx context.Context, f func(*shape) error) error {
	used, err := s.table(ctx)
	if err != nil {
		return err
	}
	for range reshapes {
		if err = f(used); err == nil {
			return nil
		}
		next := s.reshape(ctx, used, err)
		if next == nil {
			break
		}
		used = next
	}
	s.noteRefusal(err)
	return err
}

// fitUsers combines the description with the table in the database. A filled column that is
// missing keeps the type that it had in the known shape, so that digests stay the same. The
// parameter known may be nil.
func fitUsers(u Users, dialect Dialect, t table, known *shape) (*shape, []error) {
	if len(t.columns) == 0 {
		fix := "create it, or name another in users.table"
		if u.table() == defaultTable {
			fix = "run Symbolon's migrations (symbolon migrate, or migrate.Up)"
		}
		if u.table() == defaultTable && dialect == Postgres {
			fix = "run Symbolon's migrations (symbolon migrate). If they ran without the right to create tables beside yours, run as the owner of the schema: " + createDefault
		}
		return nil, []error{&Fault{Kind: NoTable, Is: "there is no table " + u.table(), Fix: fix}}
	}
	var faults []error
	need := func(name string) column {
		c, ok := t.columns[name]
		if !ok {
			faults = append(faults, u.missing(name, false))
		}
		return c
	}
	out := &shape{users: u, dialect: dialect, id: need(u.id()), identity: need(u.identity()), others: t.columns, read: t}
	faults = append(faults, u.checkEmail(t)...)
	faults = append(faults, u.fitDeny(dialect, t)...)
	if out.id.name != "" && !out.id.kind.key() {
		faults = append(faults, u.faultOf(WrongType, u.id(), "is of type "+out.id.declared, "a key must be uuid, text, integer or bigint"))
	}
	for _, c := range slices.Compact([]column{out.id, out.identity}) {
		if c.collation != "" {
			faults = append(faults, u.collationFault(c))
		}
	}
	faults = append(faults, out.fitColumns(known)...)
	faults = append(faults, out.fitEmptied()...)
	for _, err := range u.emptyColumns(t) {
		if f, ok := errors.AsType[*Fault](err); ok {
			out.needs = append(out.needs, f)
		}
	}
	return out, faults
}

// collationFault is the fault of a key or an identity column that treats different IDs as
// equal.
func (u Users) collationFault(c column) error {
	return u.faultOf(WrongType, c.name, "has the nondeterministic collation "+c.collation+", which treats different IDs as equal",
		`run: alter table %s alter column %s type %s collate "C";`, u.parts(), quote(c.name), c.exact)
}

// createDefault makes symbolon_users on Postgres, as far as Symbolon needs it.
const createDefault = "create table symbolon_users (id uuid primary key default gen_random_uuid(), ory_identity_id uuid unique, email text, name text, active boolean not null default true);"

func (u Users) missing(name string, leftOut bool) error {
	return &Fault{Kind: NoColumn, Column: name, Is: "table " + u.table() + " has no column " + name, Fix: "add it, or name another", LeftOut: leftOut}
}

// fitColumns finds the columns to fill.
func (t *shape) fitColumns(known *shape) (faults []error) {
	projections, _ := projection.ParseAll(t.users.columns())
	for _, p := range projections {
		f := filled{column: t.others[p.Column], Projection: p, quiet: t.users.byDefault(p)}
		fault := func(kind FaultKind, unfit, is, fix string) {
			f.unfit = unfit
			faults = append(faults, &Fault{Kind: kind, Column: p.Column, Is: "column " + t.users.table() + "." + p.Column + " " + is, Fix: fix,
				LeftOut: unfit != unfitConstant, atStart: unfit == unfitConstant})
		}
		_, refused := f.text(t.dialect, constant(p.Literal, time.Unix(0, 0)))
		_, noBoolean := f.text(t.dialect, true)
		never := f.never(t.dialect)
		switch {
		case f.name == "":
			f.column, f.unfit = known.lastKnown(p.Column), unfitMissing
			faults = append(faults, t.users.missing(p.Column, true))
		case f.generated:
			fault(Refusing, unfitGenerated, "is generated and cannot be written", "leave it out of users.columns")
		case p.Path == "active" && noBoolean != "":
			fault(WrongType, unfitConstant, "is of type "+f.declared+", which cannot hold whether an identity is active", "make it a boolean, because otherwise no ban is written to it")
		case never != "":
			fault(WrongType, unfitConstant, "is of type "+f.declared+", which can never hold "+p.Path, "change the column, or its expression in users.columns: "+never)
		case refused != "":
			fault(WrongType, unfitConstant, "is of type "+f.declared+", and its constant cannot be written", "change the constant in users.columns: "+refused)
		}
		t.columns = append(t.columns, f)
	}
	return faults
}

// lastKnown returns the description that a column had before it was dropped.
func (t *shape) lastKnown(name string) column {
	if t != nil {
		for _, f := range t.columns {
			if f.Column == name {
				return f.column
			}
		}
	}
	return column{name: name}
}

// fitEmptied checks the columns that are emptied when an identity is gone.
func (t *shape) fitEmptied() (faults []error) {
	names := slices.Sorted(slices.Values(slices.Concat(t.users.ReleaseColumns, t.users.AnonymiseColumns)))
	for _, name := range slices.Compact(names) {
		if _, filled := t.users.columns()[name]; filled {
			continue // fitColumns has checked it
		}
		switch c, ok := t.others[name]; {
		case !ok:
			faults = append(faults, t.users.missing(name, true))
		case c.generated:
			faults = append(faults, &Fault{Kind: Refusing, Column: name, LeftOut: true,
				Is: "column " + t.users.table() + "." + name + " is generated and cannot be emptied", Fix: "name it neither in users.release_columns nor in users.anonymise_columns"})
		}
	}
	return faults
}
