package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// The catalogue does not tell everything about new rows: a trigger may fill a column or refuse
// the row, and a policy of row level security may have a condition. Prove finds out, by an insert
// that is rolled back. Nothing else than a command of the operator calls it, because even a
// rolled-back insert takes a number from a sequence and runs triggers.

// Doubts are what the catalogue cannot tell about new rows, a sentence each. Prove can.
func (s *Store) Doubts(ctx context.Context) (doubts []string, err error) {
	if err := s.setup(); err != nil || s.Dialect == SQLite {
		return nil, err
	}
	u := s.users()
	t, err := readTable(ctx, s.DB, s.Dialect, u.parts())
	if err != nil {
		return nil, unavailable("read the shape of table "+u.table(), err)
	}
	if c, ok := t.columns[u.id()]; ok && u.newID() == ByDatabase && !c.preset {
		if trigger := t.mayFill(c.name); trigger != "" {
			doubts = append(doubts, fmt.Sprintf("the key %s seems to be made by the trigger %s", c.name, trigger))
		}
	}
	for _, name := range u.unfilled(t) {
		if trigger := t.mayFill(name); trigger != "" {
			doubts = append(doubts, fmt.Sprintf("the required column %s seems to be filled by the trigger %s", name, trigger))
		}
	}
	policies, err := readNames(ctx, s.DB, doubted, []any{u.parts().String()})
	if err != nil {
		return nil, unavailable("read the policies of row level security", err)
	}
	for _, policy := range policies {
		doubts = append(doubts, fmt.Sprintf("the policy %s may refuse new rows", policy))
	}
	return doubts, nil
}

// Proof is what Prove has found out.
type Proof struct {
	// Refused says why the table refused the row; empty: it took the row.
	Refused string

	// Sampled are the required columns for which the identity had no value. Prove wrote a value
	// of its own, so a refusal because of one of them may be a fault of that value.
	Sampled []string

	// User is the ID that the row had.
	User symbolon.UserID
}

// Prove inserts the row that an identity would get, changes it as a newer reading would, and rolls
// both back. user is the ID for the row if the database does not make it. OnLink is not called.
//
// Danger: sequences give out a number, and the table's triggers run. What a trigger does outside
// of the database is not rolled back.
func (s *Store) Prove(ctx context.Context, id symbolon.Identity, user symbolon.UserID) (p Proof, err error) {
	if err := s.setup(); err != nil {
		return p, err
	}
	if id.ID, err = symbolon.ParseIdentityID(string(id.ID)); err != nil {
		return p, err
	}
	shape, err := s.table(ctx)
	if err != nil {
		return p, err
	}
	err = s.inRowsTx(ctx, "prove a row of table "+s.users().table(), func(ctx context.Context, db session) (err error) {
		w := &writer{store: s, shape: shape, mode: columnByColumn, now: s.now().UTC(), db: db, read: reader{db: db, shape: shape}}
		w.q.Reading.Identity = id
		p = Proof{}
		return w.provenRow(ctx, &p, user)
	})
	switch refused, own := errors.AsType[refusedProof](err); {
	case own:
		p.Refused = refused.why
	case !errors.Is(err, errProved):
		return Proof{}, err
	}
	return p, nil
}

// errProved rolls back a row that the table took.
var errProved = errors.New("the row was proved")

// refusedProof rolls back a row that the table refused.
type refusedProof struct{ why string }

func (r refusedProof) Error() string { return r.why }

// provenRow writes the row. It always returns an error.
func (w *writer) provenRow(ctx context.Context, p *Proof, user symbolon.UserID) error {
	err := w.writeProof(ctx, p, user)
	if err == nil && w.store.Dialect == Postgres { // deferred constraints count, too
		err = w.constraints(ctx, "immediate")
	}
	if err == nil {
		err = w.changeProof(ctx, p.User)
	}
	if err == nil {
		err = w.stillHeld(ctx, p.User)
	}
	d := w.store.Dialect
	switch {
	case err == nil:
		return plainError{errProved}
	case d.setup(err):
		is, _ := d.describeSetup(err, w.store.users().table())
		return plainError{refusedProof{is}}
	case d.refusedBy(err) && isAny(err, errNoKeyMade, errOtherIdentity, errOtherKey):
		return plainError{refusedProof{err.Error()}}
	case d.refusedBy(err):
		return plainError{refusedProof{d.describe(err)}}
	}
	return err
}

// writeProof inserts the row and notes its key.
func (w *writer) writeProof(ctx context.Context, p *Proof, user symbolon.UserID) error {
	var key any
	u, id := w.shape.users, w.q.Reading.Identity.ID
	if u.newID() != ByDatabase {
		var ok bool
		if _, key, ok = w.shape.key(user); !ok {
			return plainError{fmt.Errorf("sqlstore: the ID %q cannot be a key of table %s", user, u.table())}
		}
	}
	columns, values := w.shape.newRow(key, id, w.proofCells(p))
	table := quote(u.parts().table)
	var made, holds sql.NullString
	err := w.db.queryRow(ctx, insertInto(columns)+" returning cast("+table+".{id} as text), cast("+table+".{identity} as text)", values...).Scan(&made, &holds)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errIgnored
	case err != nil:
		return err
	case !made.Valid:
		return errNoKeyMade
	case asIdentity(holds.String) != id:
		return errOtherIdentity
	}
	p.User, _, _ = w.shape.key(symbolon.UserID(made.String))
	if canonical, _, _ := w.shape.key(user); u.newID() != ByDatabase && canonical != p.User {
		return errOtherKey
	}
	return nil
}

// changeProof writes the columns again, as a newer reading does.
func (w *writer) changeProof(ctx context.Context, user symbolon.UserID) error {
	cells := slices.DeleteFunc(w.shape.paths(w.q.Reading.Identity), func(c cell) bool { return c.param == nil || c.unfit != "" })
	if cells = append(cells, w.shape.touches(w.now)...); len(cells) == 0 {
		return nil
	}
	return w.set(ctx, user, cells)
}

// The answers of a table that does something else with the row than it was told.
var (
	errNoKeyMade     = errors.New("the row got no key")
	errOtherIdentity = errors.New("the row does not hold the identity that was written to it, perhaps because of a trigger")
	errOtherKey      = errors.New("the row got another key than was written to it, perhaps because of a trigger; set new_id to database")
)

// proofCells are the values for a new row. A required column without a value gets a sample.
func (w *writer) proofCells(p *Proof) []cell {
	id := w.q.Reading.Identity
	all := append(w.shape.paths(id), w.shape.signUp(id)...)
	base, optional := w.shape.sortCells(all, w.now)
	cells := slices.Concat(base, optional)
	for _, c := range all {
		if c.param != nil || !c.notNull || c.preset || c.unfit != "" {
			continue
		}
		c.raw = c.sample()
		c.param, c.refused = c.raw, ""
		cells = append(cells, c)
		p.Sampled = append(p.Sampled, c.name)
	}
	return cells
}

// sample is a value that a column of its type takes.
func (c column) sample() string {
	switch c.kind {
	case boolean:
		return "false"
	case uuid:
		return "00000000-0000-4000-8000-000000000000"
	case instant:
		return "2000-01-01"
	case jsonDoc, array:
		return "{}"
	case text, other:
		s := "p" + strings.ToLower(rand.Text())
		if c.limit > 0 {
			s = s[:min(len(s), c.limit)]
		}
		return s
	}
	return "0"
}

// unfilled are the required columns that no expression fills.
func (u Users) unfilled(t table) (names []string) {
	fills := u.fills()
	for name, c := range t.columns {
		if c.notNull && !c.preset && !c.generated && !fills[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
