package sqlstore

import (
	"context"
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
		left, err := m.touch(ctx)
		if err != nil {
			return err
		}
		if err := m.updated(ctx, cells, append(m.left, append(left, m.judge(m.pending)...)...)); err != nil {
			return err
		}
		if err := m.record(ctx); err != nil && !errors.Is(err, errNothing) {
			return err
		}
		w.wrote = true
	}
	return nil
}
