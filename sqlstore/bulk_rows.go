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

// The tables that all of it goes into, and the types of what does not travel as text.
var (
	entriesInto = into{name: "symbolon.links", columns: []string{"identity_id", "user_id", "state", "linked_at", "way", "ticket", "digest", "back_reference"},
		types: map[string]string{"linked_at": "timestamptz", "ticket": "bigint"}}
	eventsInto = into{name: "symbolon.events", columns: []string{"identity_id", "user_id", "kind", "at", "way", "detail"},
		types: map[string]string{"at": "timestamptz"}}
)

// into is where many rows go. The first column has another value in every row.
type into struct {
	name    string
	columns []string
	types   map[string]string
}

const (
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

// row adds a row of values, the i-th.
func (m *many) row(i int, values ...any) {
	m.WriteString(comma(i) + "(")
	for i, v := range values {
		m.WriteString(comma(i))
		m.param(v)
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

// insert inserts rows of values, in pieces, unless somebody has made one of them
// meanwhile: then it says errTaken. A value that all rows of a piece share travels once.
func (a *attempt) insert(ctx context.Context, t into, rows [][]any) error {
	return inPieces(len(rows), len(t.columns), func(from, to int) error {
		m := a.shared(t, rows[from:to])
		n, err := a.db.exec(ctx, m.String(), m.args...)
		if err == nil && n != int64(to-from) {
			return errTaken
		}
		return err
	})
}

func (b *bulk) shared(t into, rows [][]any) *many {
	var own []int // the columns whose values differ
	m := b.many("insert into "+t.name+" (project, "+strings.Join(t.columns, ", ")+") select ", len(rows), len(t.columns))
	m.param(b.project)
	for i, column := range t.columns {
		m.WriteString(", ")
		end := ""
		if kind := t.types[column]; kind != "" && m.dialect == Postgres {
			m.WriteString("cast(")
			end = " as " + kind + ")"
		}
		if i == 0 || slices.ContainsFunc(rows, func(row []any) bool { return row[i] != rows[0][i] }) {
			own = append(own, i)
			m.WriteString("v.column" + strconv.Itoa(len(own)))
		} else {
			m.param(rows[0][i])
		}
		m.WriteString(end)
	}
	m.WriteString(" from (values ")
	values := make([]any, len(own))
	for i, row := range rows {
		for at, column := range own {
			values[at] = row[column]
		}
		m.row(i, values...)
	}
	m.WriteString(") as v where true on conflict do nothing")
	return m
}

// enter inserts the entries. Whoever has one by now, or whose new user is somebody's,
// ends the attempt.
func (a *attempt) enter(ctx context.Context) error {
	rows := make([][]any, len(a.all))
	for i, n := range a.all {
		state := symbolon.Linked
		if n.link.User == "" {
			state = lockState
		}
		rows[i] = []any{string(n.link.Identity), null(n.link.User), string(state), moment{a.now}, string(n.link.Source), int64(n.link.Ticket),
			n.digest, n.link.BackReference}
	}
	return a.insert(ctx, entriesInto, rows)
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
			return a.store.Dialect.refusalError(err)
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
	for i, n := range alike {
		m.row(i, n.values...)
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
		for i, n := range unbound[from:to] {
			m.row(i, string(n.link.Identity), string(a.users[n.link.Identity]))
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
	rows := make([][]any, len(a.all))
	for i, n := range a.all {
		link := a.linked(n)
		rows[i] = []any{string(link.Identity), string(link.User), string(symbolon.UserLinked), moment{a.now}, string(link.Source), n.plan.Why}
	}
	return a.insert(ctx, eventsInto, rows)
}
