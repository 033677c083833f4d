package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// member is a linked identity whose row takes part.
type member struct {
	*writer
	user    symbolon.UserID // empty while it has no row
	now     map[string]cell // Ory's word, by column
	joined  bool            // its row is written
	left    []leftOut
	pending []refusedCell // refused, because other rows have the values
}

// lockKnown is lockEntry for an identity that must have an entry.
const lockKnown = `update symbolon.links set project = project where project = $1 and identity_id = $2`

// lockAll locks the entries of all identities of the query, in their order.
func (w *writer) lockAll(waiting context.Context) error {
	if len(w.q.Locks) > 0 {
		return w.lockAlso(waiting)
	}
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

// touch writes the time of the last write, if something else was written to the row.
func (m *member) touch(ctx context.Context) ([]leftOut, error) {
	if !m.wrote {
		return nil, nil
	}
	left, taken, err := m.setEach(ctx, m.user, m.shape.touches(m.writer.now))
	return append(left, m.judge(taken)...), err
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
	return m.shape.withPlaceholder(c, m.user)
}

// withPlaceholder is the cell with the operator's placeholder. It returns false if the column has none.
func (t *shape) withPlaceholder(c cell, user symbolon.UserID) (cell, bool) {
	if t.users.Placeholder == "" || c.kind != text && c.kind != other {
		return c, false
	}
	c.raw = strings.ReplaceAll(t.users.Placeholder, userMarker, string(user))
	c.param = c.raw
	return c, true
}
