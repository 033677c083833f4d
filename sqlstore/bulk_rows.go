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

// The heads of the statements; rows of parameters follow. $1 is the project and $2 the
// time.
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

// rowsOf writes n rows of parameters behind each other, which begin with $from: lead
// comes first in each row.
func rowsOf(b *strings.Builder, n int, lead string, from, perRow int) {
	for row := range n {
		b.WriteString(comma(row) + "(" + lead)
		for i := range perRow {
			if i > 0 || lead != "" {
				b.WriteString(", ")
			}
			b.WriteString("$")
			b.WriteString(strconv.Itoa(from + row*perRow + i))
		}
		b.WriteString(")")
	}
}

// enter inserts the entries, and leaves out of the attempt whoever has one by now, or
// whose new user is somebody's.
func (a *attempt) enter(ctx context.Context) error {
	const perRow = 7
	entered := make(map[symbolon.IdentityID]bool, len(a.all))
	err := inPieces(len(a.all), perRow, func(from, to int) error {
		var text strings.Builder
		text.WriteString(enterAll)
		rowsOf(&text, to-from, "$1, $2", 3, perRow)
		text.WriteString(enterAllEnd)
		args := append(make([]any, 0, 2+perRow*(to-from)), a.project, moment{a.now})
		for _, n := range a.all[from:to] {
			state := symbolon.Linked
			if n.link.User == "" {
				state = lockState
			}
			args = append(args, string(n.link.Identity), null(n.link.User), string(state), string(n.link.Way), int64(n.link.Ticket),
				n.digest, n.link.BackReference)
		}
		return a.each(ctx, text.String(), args, func(scan func(...any) error) error {
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
func (a *attempt) each(ctx context.Context, text string, args []any, f func(scan func(...any) error) error) error {
	rows, err := a.db.query(ctx, text, args...)
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
	args := make([]any, 0, len(alike)*len(columns)+1)
	for _, n := range alike {
		args = append(args, n.values...)
	}
	text := insertRowsText(a.shape.users, columns, len(alike))
	return a.each(ctx, text, append(args, a.project), func(scan func(...any) error) error {
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

// insertRowsText is insertRow for many rows. It answers each ID, whose it is, and
// whether that ID is retired; that it is nobody's was seen when the entries were made.
func insertRowsText(u Users, columns []string, n int) string {
	var b strings.Builder
	b.WriteString("insert into {users} (")
	for i, c := range columns {
		b.WriteString(comma(i) + quote(c))
	}
	b.WriteString(") values ")
	rowsOf(&b, n, "", 1, len(columns))
	table := quote(u.parts().table)
	key := "cast(" + table + ".{id} as text)"
	b.WriteString(" returning " + key + ", cast(" + table + `.{identity} as text),
       exists (select 1 from symbolon.retired symbolon_r where symbolon_r.user_id = ` + key + ` and symbolon_r.project = $` +
		strconv.Itoa(n*len(columns)+1) + `)`)
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
		var text strings.Builder
		text.WriteString(bindAll)
		rowsOf(&text, to-from, "", 1, 2)
		text.WriteString(bindAllEnd + "$" + strconv.Itoa(2*(to-from)+1))
		args := make([]any, 0, 2*(to-from)+1)
		for _, n := range unbound[from:to] {
			args = append(args, string(n.link.Identity), string(a.users[n.link.Identity]))
		}
		count, err := a.db.exec(ctx, text.String(), append(args, a.project)...)
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
	const perRow = 4
	return inPieces(len(a.all), perRow, func(from, to int) error {
		var text strings.Builder
		text.WriteString(insertEvents)
		rowsOf(&text, to-from, "$1, $2, '"+string(symbolon.UserLinked)+"'", 3, perRow)
		args := append(make([]any, 0, 2+perRow*(to-from)), a.project, moment{a.now})
		for _, n := range a.all[from:to] {
			link := a.linked(n)
			args = append(args, string(link.Identity), string(link.User), string(link.Way), n.plan.Why)
		}
		_, err := a.db.exec(ctx, text.String(), args...)
		return err
	})
}
