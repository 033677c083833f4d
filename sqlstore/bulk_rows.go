package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Rows travel many to a statement. Of each statement there are few sizes, so that few
// texts have to be read and prepared by the databases.
var pieces = []int{500, 100, 20, 4, 1}

// maxParams is what one statement may have on SQLite; Postgres allows twice as many.
const maxParams = 32766

// inPieces calls f for stretches of n rows, each of a size of pieces that a statement
// with so many parameters a row can take.
func inPieces(n, perRow int, f func(from, to int) error) error {
	for from := 0; from < n; {
		size := 1
		for _, p := range pieces {
			if p <= n-from && p*perRow < maxParams-10 {
				size = p
				break
			}
		}
		if err := f(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// The heads of the statements; rows of parameters follow.
const (
	enterAll = `
insert into symbolon.links (project, linked_at, identity_id, user_id, state, way, ticket, digest, back_reference) values `

	enterAllEnd = `
on conflict do nothing returning identity_id`

	insertEvents = `
insert into symbolon.events (project, at, kind, identity_id, user_id, way, detail) values `

	bindAll = `
update symbolon.links set user_id = v.column2, state = 'linked' from (values `

	bindAllEnd = `) as v where symbolon.links.state = 'new' and symbolon.links.identity_id = v.column1 and symbolon.links.project = `
)

// many is a statement with rows of parameters. They have no names on SQLite: with them
// the time to bind all grows with the square of their number.
type many struct {
	strings.Builder
	dialect Dialect
	args    []any
}

func (b *bulk) many(head string, rows, perRow int) *many {
	m := &many{dialect: b.store.Dialect, args: make([]any, 0, rows*perRow+1)}
	m.Grow(len(head) + rows*(perRow+1)*6)
	m.WriteString(head)
	return m
}

// row adds a row of values.
func (m *many) row(values ...any) {
	separator := "("
	if len(m.args) > 0 {
		separator = ", ("
	}
	for _, v := range values {
		m.WriteString(separator)
		m.param(v)
		separator = ", "
	}
	m.WriteString(")")
}

func (m *many) param(v any) {
	m.args = append(m.args, v)
	if m.dialect == SQLite {
		m.WriteString("?")
		return
	}
	m.WriteString("$")
	m.WriteString(strconv.Itoa(len(m.args)))
}

// enter inserts the entries, and leaves out of the attempt whoever has one by now, or
// whose new user is somebody's.
func (a *attempt) enter(ctx context.Context) error {
	const perRow = 9
	entered := make(map[symbolon.IdentityID]bool, len(a.all))
	err := inPieces(len(a.all), perRow, func(from, to int) error {
		m := a.many(enterAll, to-from, perRow)
		for _, n := range a.all[from:to] {
			state := symbolon.Linked
			if n.link.User == "" {
				state = lockState
			}
			m.row(a.project, moment{a.now}, string(n.link.Identity), null(n.link.User), string(state), string(n.link.Way),
				int64(n.link.Ticket), n.digest, n.link.BackReference)
		}
		m.WriteString(enterAllEnd)
		return a.db.each(ctx, m, func(scan func(...any) error) error {
			var id symbolon.IdentityID
			err := scan(&id)
			entered[id] = true
			return err
		})
	})
	if err == nil && len(entered) < len(a.all) {
		a.all = slices.DeleteFunc(slices.Clone(a.all), func(n *newcomer) bool { return !entered[n.link.Identity] })
	}
	return err
}

// each runs a query and has every row of its answer scanned.
func (c session) each(ctx context.Context, m *many, f func(scan func(...any) error) error) error {
	rows, err := c.query(ctx, m.String(), m.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// insertRows makes the users' rows: those with values for the same columns together.
func (a *attempt) insertRows(ctx context.Context) error {
	a.users = make(map[symbolon.IdentityID]symbolon.UserID, len(a.all))
	byColumns := map[string][]*newcomer{}
	var order []string
	for _, n := range a.all {
		key := strings.Join(n.columns, ",")
		if byColumns[key] == nil {
			order = append(order, key)
		}
		byColumns[key] = append(byColumns[key], n)
	}
	for _, key := range order {
		alike := byColumns[key]
		err := inPieces(len(alike), len(alike[0].columns), func(from, to int) error { return a.insertAlike(ctx, alike[from:to]) })
		if err != nil {
			return a.store.Dialect.bold(err)
		}
	}
	for _, n := range a.all {
		user := a.users[n.link.Identity]
		if user == "" || n.link.User != "" && n.link.User != user {
			return errRefused // the table has a mind of its own; Write asks it
		}
	}
	return nil
}

func (a *attempt) insertAlike(ctx context.Context, alike []*newcomer) error {
	columns := alike[0].columns
	if len(columns) == 0 {
		return errRefused // nothing but defaults: Write knows how
	}
	m := a.many(insertInto(columns), len(alike), len(columns))
	for _, n := range alike {
		m.row(n.values...)
	}
	table := quote(a.shape.users.parts().table)
	key := "cast(" + table + ".{id} as text)"
	m.WriteString(" returning " + key + ", cast(" + table + ".{identity} as text)" + retiredToo + key + " and symbolon_r.project = ")
	m.param(a.project)
	m.WriteString(")")
	return a.db.each(ctx, m, func(scan func(...any) error) error {
		var user symbolon.UserID
		var identity string
		var retired bool
		if err := scan(&user, &identity, &retired); err != nil {
			return err
		}
		if retired {
			return errRefused
		}
		a.users[asIdentity(identity)] = user
		return nil
	})
}

// retiredToo asks whether an ID is retired; that it is nobody's was seen when the entry
// was made.
const retiredToo = `,
       exists (select 1 from symbolon.retired symbolon_r where symbolon_r.user_id = `

func insertInto(columns []string) string {
	var b strings.Builder
	b.WriteString("insert into {users} (")
	for i, c := range columns {
		b.WriteString(comma(i) + quote(c))
	}
	b.WriteString(") values ")
	return b.String()
}

// bind writes the IDs that the database chose into the entries.
func (a *attempt) bind(ctx context.Context) error {
	var unbound []*newcomer
	for _, n := range a.all {
		if n.link.User == "" {
			unbound = append(unbound, n)
		}
	}
	return inPieces(len(unbound), 2, func(from, to int) error {
		m := a.many(bindAll, to-from, 2)
		for _, n := range unbound[from:to] {
			m.row(string(n.link.Identity), string(a.users[n.link.Identity]))
		}
		m.WriteString(bindAllEnd)
		m.param(a.project)
		count, err := a.db.exec(ctx, m.String(), m.args...)
		switch {
		case err != nil && a.store.Dialect.refusedBy(err):
			return fmt.Errorf("%w: %w", errTaken, err) // the ID is somebody's whose row is missing
		case err == nil && count != int64(to-from):
			return errTaken
		}
		return err
	})
}

func (a *attempt) insertEvents(ctx context.Context) error {
	const perRow = 7
	return inPieces(len(a.all), perRow, func(from, to int) error {
		m := a.many(insertEvents, to-from, perRow)
		for _, n := range a.all[from:to] {
			link := a.linked(n)
			m.row(a.project, moment{a.now}, string(symbolon.UserLinked), string(link.Identity), string(link.User), string(link.Way), n.plan.Why)
		}
		_, err := a.db.exec(ctx, m.String(), m.args...)
		return err
	})
}
