package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Values of unique columns move between people: two people swap their addresses, or one
// takes an address that another gave up, and a hook was lost. The row of the one then holds
// a value that Ory gives to the other. An exchange writes the rows of all these people in
// one transaction, each from a reading of its own. It changes the row of another identity
// only if the ledger links the two, if the reading is newer than what was written, and if
// Ory gives the value to somebody else. The entries of all identities are locked before,
// in the order of the identities, so that two exchanges cannot deadlock.

// exchange is one exchange. The identity of the Write is a member, too.
type exchange struct {
	own     *writer
	members map[symbolon.IdentityID]*member
	unknown []symbolon.IdentityID // holders that must be read at Ory first
	unique  map[string]bool       // the columns of unique indexes; nil: not read yet
}

// member is a linked identity whose row takes part.
type member struct {
	*writer
	user    symbolon.UserID // empty while it has no row
	now     map[string]cell // Ory's word, by column
	joined  bool            // its row is written
	left    []leftOut
	pending []refusedCell // refused, because other rows have the values
}

// holder is a row that has a value.
type holder struct {
	user     symbolon.UserID
	identity symbolon.IdentityID // the ledger and the row link it; empty: none
}

// maxHolders is how many rows may have a value that a unique index refused. If there are
// more, another column of the index is the reason.
const maxHolders = 8

const holdersOf = `
select cast(u.{id} as text), (select l.identity_id from symbolon.links l where l.project = $1 and l.user_id = cast(u.{id} as text)
       and l.state = 'linked' and l.identity_id = lower(cast(u.{identity} as text)))
from {users} u where `

// lockKnown is lockEntry for an identity that must have an entry.
const lockKnown = `update symbolon.links set project = project where project = $1 and identity_id = $2`

// lockAll locks the entries of all identities of the query, in their order.
func (w *writer) lockAll(waiting context.Context) error {
	if len(w.q.Others) == 0 || w.mode != columnByColumn {
		return w.db.do(waiting, w.lock)
	}
	w.exchange = &exchange{own: w, members: map[symbolon.IdentityID]*member{}}
	own := w.q.Reading.Identity.ID
	ids, readings := []symbolon.IdentityID{own}, map[symbolon.IdentityID]symbolon.Reading{}
	for _, r := range w.q.Others {
		if _, twice := readings[r.Identity.ID]; !twice && r.Identity.ID != own {
			ids = append(ids, r.Identity.ID)
		}
		readings[r.Identity.ID] = r
	}
	slices.Sort(ids)
	for _, id := range ids {
		if id == own {
			if err := w.db.do(waiting, w.lock); err != nil {
				return err
			}
			continue
		}
		n, err := w.db.exec(waiting, lockKnown, w.q.Project, string(id))
		if err != nil {
			return err
		}
		if n > 0 {
			w.exchange.members[id] = w.member(readings[id])
		}
	}
	return nil
}

// member prepares the writer of another identity in the transaction of w.
func (w *writer) member(r symbolon.Reading) *member {
	r.Rewrite = true // the row differs from Ory, whatever the ledger says of it
	m := &member{now: map[string]cell{}, writer: &writer{store: w.store, shape: w.shape, mode: columnByColumn, now: w.now, db: w.db,
		q: symbolon.Query{Project: w.q.Project, Reading: r}, read: reader{db: w.db, shape: w.shape, now: w.now}}}
	m.see()
	return m
}

func (m *member) see() {
	for _, c := range m.shape.paths(m.q.Reading.Identity) {
		m.now[c.name] = c
	}
}

// has reports whether Ory gives the identity this value. Letters may differ in case,
// because unique indexes may ignore it.
func (m *member) has(c cell) bool {
	now := m.now[c.name]
	return now.param != nil && strings.EqualFold(now.raw, c.raw)
}

// open reports whether the row may still hold an old value of a column.
func (m *member) open(column string) bool {
	c := m.now[column]
	return c.param == nil || slices.ContainsFunc(m.pending, func(p refusedCell) bool { return p.name == column })
}

// exchangeFor writes cells that the table refused because other rows have their values.
// still are those that it still refuses.
func (w *writer) exchangeFor(ctx context.Context, user symbolon.UserID, taken []refusedCell) (still []refusedCell, err error) {
	own, x := w.join(user, taken)
	if err := x.run(ctx); err != nil {
		return nil, err
	}
	return own.pending, nil
}

// freeFor has other rows give up the values of required columns that a new row needs.
func (w *writer) freeFor(ctx context.Context, base []cell, refusal error) (freed bool, err error) {
	var taken []refusedCell
	for _, c := range base {
		if c.Path != "" {
			taken = append(taken, refusedCell{cell: c, refusal: refusal})
		}
	}
	_, x := w.join("", taken)
	if err := x.readUnique(ctx); err != nil {
		return false, err
	}
	if err := x.run(ctx); err != nil {
		return false, err
	}
	x.unique = nil
	return len(x.sorted()) > 1, nil
}

// join makes the identity of the Write a member. user is empty while it has no row.
func (w *writer) join(user symbolon.UserID, taken []refusedCell) (*member, *exchange) {
	if w.exchange == nil {
		w.exchange = &exchange{own: w, members: map[symbolon.IdentityID]*member{}}
	}
	own := &member{writer: w, user: user, now: map[string]cell{}, joined: true, pending: taken}
	own.see()
	w.exchange.members[w.q.Reading.Identity.ID] = own
	return own, w.exchange
}

// run writes what is free, as long as that frees more, and then the values that members
// hold for each other.
func (x *exchange) run(ctx context.Context) error {
	for {
		joined, err := x.findHolders(ctx)
		if err != nil {
			return err
		}
		wrote, err := x.writePending(ctx, "")
		if err != nil {
			return err
		}
		if !joined && !wrote {
			break
		}
	}
	var columns []string
	for _, m := range x.sorted() {
		for _, c := range m.pending {
			if !slices.Contains(columns, c.name) {
				columns = append(columns, c.name)
			}
		}
	}
	for _, column := range columns {
		if err := x.turn(ctx, column); err != nil {
			return err
		}
	}
	return nil
}

// sorted returns the members whose rows are written, in the order of their identities.
func (x *exchange) sorted() (out []*member) {
	for _, m := range x.members {
		if m.joined {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *member) int {
		return strings.Compare(string(a.q.Reading.Identity.ID), string(b.q.Reading.Identity.ID))
	})
	return out
}

// findHolders finds the rows that have the pending values. A holder joins if Ory no longer
// gives it the value. If a holder was not read at Ory yet, a TakenError names it.
func (x *exchange) findHolders(ctx context.Context) (joined bool, err error) {
	x.unknown = nil
	for _, m := range x.sorted() {
		for i := range m.pending {
			c := &m.pending[i]
			holders, err := x.holders(ctx, m, c.cell)
			if err != nil {
				return false, err
			}
			for _, h := range holders {
				one, err := x.meet(ctx, h, c)
				if err != nil {
					return false, err
				}
				joined = joined || one
			}
		}
	}
	if len(x.unknown) > 0 && x.own.q.AskHolders {
		return false, &symbolon.TakenError{Identity: x.own.q.Reading.Identity.ID, Holders: x.unknown}
	}
	return joined, nil
}

// meet judges one holder of a pending value.
func (x *exchange) meet(ctx context.Context, h holder, c *refusedCell) (joined bool, err error) {
	if h.identity == "" {
		c.why = fmt.Sprintf("the row of user %s holds it, which no identity of this project has", h.user)
		return false, nil
	}
	m := x.members[h.identity]
	switch {
	case m == nil:
		x.ask(h.identity)
		c.why = fmt.Sprintf("the row of user %s holds it, and Ory did not say whether identity %s still has it", h.user, h.identity)
		return false, nil
	case m.has(c.cell):
		c.why = fmt.Sprintf("identity %s of user %s has it at Ory, too", h.identity, h.user)
		return false, nil
	case m.joined:
		c.why = fmt.Sprintf("the row of user %s holds it, which cannot give it up yet", h.user)
		return false, nil
	}
	switch fresh, err := m.begin(ctx); {
	case err != nil:
		return false, err
	case !fresh: // a newer reading was written meanwhile
		x.ask(h.identity)
		return false, nil
	}
	m.joined = true
	return true, nil
}

func (x *exchange) ask(id symbolon.IdentityID) {
	if !slices.Contains(x.unknown, id) {
		x.unknown = append(x.unknown, id)
	}
}

// begin writes the row of another identity from its reading, as far as its values are free.
// It returns false if the reading is not newer than the row, or if the link has changed.
func (m *member) begin(ctx context.Context) (fresh bool, err error) {
	if err := m.read.read(ctx, m.q); err != nil {
		return false, err
	}
	m.before, m.entry = m.read.entry, m.read.entry
	row := m.read.held.User
	user, _, ok := m.shape.key(m.before.User)
	if !ok || m.before.State != symbolon.Linked || m.q.Reading.Ticket <= m.before.Ticket || row == nil || row.Identity != m.q.Reading.Identity.ID {
		return false, nil
	}
	m.plan = symbolon.Plan{Action: symbolon.Update, User: user, Why: "the row held a value that Ory gives to another identity"}
	m.user, m.entry.Ticket = user, m.q.Reading.Ticket
	cells := m.shape.paths(m.q.Reading.Identity)
	m.left = refusedCells(cells)
	writable := slices.DeleteFunc(cells, func(c cell) bool {
		return c.unfit != "" || c.refused != "" || c.param == nil && c.notNull
	})
	left, taken, err := m.setEach(ctx, user, writable)
	m.left, m.pending = append(m.left, left...), taken
	return true, err
}

// writePending tries the pending cells again: those of a column, or all.
func (x *exchange) writePending(ctx context.Context, column string) (wrote bool, err error) {
	for again := true; again; {
		again = false
		for _, m := range x.sorted() {
			if m.user == "" {
				continue // its row is not made yet
			}
			var still []refusedCell
			for _, c := range m.pending {
				if column != "" && c.name != column {
					still = append(still, c)
					continue
				}
				refusal, err := m.try(ctx, func() error { return m.set(ctx, m.user, []cell{c.cell}) })
				if err != nil {
					return false, err
				}
				if refusal != nil {
					c.refusal = refusal
					still = append(still, c)
					continue
				}
				wrote, again = true, true
			}
			m.pending = still
		}
	}
	return wrote, nil
}

// turn gives on the values of a column that members hold for each other. If the constraint
// is deferrable, the rows are written and the constraint is checked afterwards. Otherwise
// the members give up their old values first.
func (x *exchange) turn(ctx context.Context, column string) error {
	givers, err := x.givers(ctx, column)
	if err != nil || len(givers) == 0 {
		return err
	}
	if x.own.store.Dialect == Postgres && givers[0].now[column].notNull {
		if done, err := x.together(ctx, column); err != nil || done {
			return err
		}
	}
	if _, err := x.own.db.tx.ExecContext(ctx, "savepoint symbolon_turn"); err != nil {
		return err
	}
	gave := 0
	for _, m := range givers {
		gives, err := m.giveUp(ctx, column)
		if err != nil {
			return err
		}
		if gives {
			gave++
		}
	}
	wrote, err := x.writePending(ctx, column)
	if err != nil {
		return err
	}
	if !wrote && (gave == 0 || !x.newRowNeeds(column)) { // nobody takes a value
		_, err = x.own.db.tx.ExecContext(ctx, "rollback to savepoint symbolon_turn")
	}
	_, end := x.own.db.tx.ExecContext(ctx, "release savepoint symbolon_turn")
	return errors.Join(err, end)
}

// newRowNeeds reports whether a row that is not made yet needs a value of the column.
func (x *exchange) newRowNeeds(column string) bool {
	own := x.members[x.own.q.Reading.Identity.ID]
	return own.user == "" && slices.ContainsFunc(own.pending, func(c refusedCell) bool { return c.name == column })
}

// givers are the members whose rows hold a pending value of a column, although Ory no
// longer gives it to them.
func (x *exchange) givers(ctx context.Context, column string) (out []*member, err error) {
	for _, m := range x.sorted() {
		for i := range m.pending {
			c := &m.pending[i]
			if c.name != column {
				continue
			}
			holders, err := x.holders(ctx, m, c.cell)
			if err != nil {
				return nil, err
			}
			for _, h := range holders {
				g := x.members[h.identity]
				if g == nil || !g.joined || g.user == "" || g.has(c.cell) || !g.open(column) {
					continue
				}
				if _, can := g.released(column); !can {
					c.why = fmt.Sprintf("the row of user %s holds it, and cannot give it up before its new value is free, because column %s must not be null: "+
						"set users.placeholder to a text that the column takes, with %s in it", h.user, column, userMarker)
				}
				if !slices.Contains(out, g) {
					out = append(out, g)
				}
			}
		}
	}
	return out, nil
}

// together writes all pending cells of a column before Postgres checks its deferrable
// constraint.
func (x *exchange) together(ctx context.Context, column string) (done bool, err error) {
	if x.newRowNeeds(column) {
		return false, nil
	}
	refusal, err := x.own.try(ctx, func() error {
		if _, err := x.own.db.tx.ExecContext(ctx, "set constraints all deferred"); err != nil {
			return err
		}
		for _, m := range x.sorted() {
			for _, c := range m.pending {
				if c.name != column {
					continue
				}
				if err := m.set(ctx, m.user, []cell{c.cell}); err != nil {
					return err
				}
			}
		}
		_, err := x.own.db.tx.ExecContext(ctx, "set constraints all immediate")
		return err
	})
	if err != nil || refusal != nil {
		return false, err
	}
	for _, m := range x.sorted() {
		m.pending = slices.DeleteFunc(m.pending, func(c refusedCell) bool { return c.name == column })
	}
	return true, nil
}

// giveUp empties a column of the member's row. It returns false if that is not possible.
func (m *member) giveUp(ctx context.Context, column string) (bool, error) {
	c, can := m.released(column)
	if !can {
		return false, nil
	}
	refusal, err := m.try(ctx, func() error { return m.set(ctx, m.user, []cell{c}) })
	return refusal == nil, err
}

// released is the value that a column gets when the row gives up its value: null, or the
// operator's placeholder if the column is NOT NULL.
func (m *member) released(column string) (c cell, can bool) {
	c = m.now[column]
	c.param, c.raw = nil, ""
	if !c.notNull {
		return c, true
	}
	template := m.shape.users.Placeholder
	if template == "" || c.kind != text && c.kind != other {
		return c, false
	}
	c.raw = strings.ReplaceAll(template, userMarker, string(m.user))
	c.param = c.raw
	return c, true
}

// finishExchange records what was written to the rows of other identities.
func (w *writer) finishExchange(ctx context.Context) error {
	x := w.exchange
	if x == nil {
		return nil
	}
	for _, m := range x.sorted() {
		if m.writer == x.own {
			continue
		}
		cells := m.shape.paths(m.q.Reading.Identity)
		if err := m.updated(ctx, cells, append(m.left, m.judge(m.pending)...)); err != nil {
			return err
		}
		if err := m.record(ctx); err != nil && !errors.Is(err, errNothing) {
			return err
		}
		w.wrote = true
	}
	return nil
}

// holders returns the rows except m's own that have the value of a cell. They are compared as
// the column compares, and if there is none, without regard to case, because a unique index
// may ignore it.
func (x *exchange) holders(ctx context.Context, m *member, c cell) (out []holder, err error) {
	if x.unique != nil && !x.unique[c.name] || c.param == nil {
		return nil, nil
	}
	column := "u." + quote(c.name)
	conditions := []string{column + " = $2"}
	if c.kind == text {
		conditions = append(conditions, "lower(cast("+column+" as text)) = lower($2)")
	}
	for _, condition := range conditions {
		out, err = collect(ctx, x.own.db.query, holdersOf+condition+fmt.Sprintf(" limit %d", maxHolders+2), []any{x.own.q.Project, c.param}, scanHolder)
		if err != nil {
			return nil, err
		}
		if m.user != "" {
			out = slices.DeleteFunc(out, func(h holder) bool { return h.user == m.user })
		}
		if len(out) > 0 {
			break
		}
	}
	if len(out) > maxHolders {
		return nil, nil
	}
	return out, nil
}

func scanHolder(row scanner) (h holder, err error) {
	var identity sql.NullString
	err = row.Scan(&h.user, &identity)
	h.identity = symbolon.IdentityID(identity.String)
	return h, err
}

const uniqueColumnsPostgres = `
select distinct a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0
where i.indrelid = to_regclass(cast($1 as text)) and i.indisunique
  and (a.attnum = any (i.indkey) or exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
       and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))`

// uniqueColumnsSQLite takes every column for one of an index on an expression.
const uniqueColumnsSQLite = `
select c.name from pragma_table_info($1, $2) c where exists (
    select 1 from pragma_index_list($1, $2) i join pragma_index_info(i.name, $2) k
    where i."unique" = 1 and (k.name is null or k.name = c.name))`

// readUnique reads which columns a unique index has. The insert of a row does not say whose
// value was refused.
func (x *exchange) readUnique(ctx context.Context) error {
	query, args := uniqueColumnsPostgres, []any{x.own.shape.users.parts().String()}
	if p := x.own.shape.users.parts(); x.own.store.Dialect == SQLite {
		query, args = uniqueColumnsSQLite, []any{p.table, p.sqliteSchema()}
	}
	names, err := collect(ctx, x.own.db.query, query, args, scanOne[string])
	x.unique = map[string]bool{}
	for _, name := range names {
		x.unique[name] = true
	}
	return err
}
