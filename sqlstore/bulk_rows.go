package sqlstore

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// pieces are the numbers of rows that one statement may have. There are only a few, so that
// the databases parse and prepare few texts.
var pieces = []int{500, 100, 20, 4, 1}

// maxParams is the maximum number of parameters of one statement on SQLite. Postgres allows
// twice as many.
const maxParams = 32766

// inPieces splits n rows into pieces and calls f for each. perRow is the number of parameters
// of a row.
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

// The tables, and the types of the values that are not sent as text.
var (
	entriesInto = into{name: "symbolon.links", columns: []string{"identity_id", "user_id", "state", "linked_at", "way", "ticket", "digest", "back_reference"},
		types: map[string]string{"linked_at": "timestamptz", "ticket": "bigint"}}
	eventsInto = into{name: "symbolon.events", columns: []string{"identity_id", "user_id", "kind", "at", "way", "detail"},
		types: map[string]string{"at": "timestamptz"}}
)

// into is a table into which many rows are inserted. The first column has a different value
// in every row.
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

// many is a statement with rows of parameters. On SQLite the parameters have no numbers,
// because the time to bind numbered parameters grows with the square of their number.
type many struct {
	strings.Builder
	dialect Dialect
	args    []any
}

func (s *Store) many(head string, rows, perRow int) *many {
	m := &many{dialect: s.Dialect, args: make([]any, 0, rows*perRow+1)}
	m.Grow(len(head) + rows*(perRow+1)*6)
	m.WriteString(head)
	return m
}

// row adds the i-th row of values.
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

// insert inserts rows of values, in pieces. It returns errTaken if another writer has
// inserted one of them. A value that is the same in all rows of a piece is sent once.
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
	m := b.store.many("insert into "+t.name+" (project, "+strings.Join(t.columns, ", ")+") select ", len(rows), len(t.columns))
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

// enter inserts the entries. It returns errTaken if an identity has got an entry meanwhile,
// or if a new user's ID is linked already.
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

// insertRows makes the users' rows. Rows with values for the same columns share statements.
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
			return a.store.Dialect.refusalAs(errRefused, err)
		}
	}
	for _, n := range a.all {
		user := a.users[n.link.Identity]
		if user == "" || n.link.User != "" && n.link.User != user {
			return errRefused // a trigger or a default of the table chose another ID; Write finds the cause
		}
	}
	return a.stillHeld(ctx)
}

// stillHeld returns errRefused if a new user's row does not hold the identity any more, because a
// trigger has changed or deleted the row.
func (a *attempt) stillHeld(ctx context.Context) error {
	return inPieces(len(a.all), 1, func(from, to int) error {
		ids := make([]any, 0, to-from)
		for _, n := range a.all[from:to] {
			ids = append(ids, string(n.link.Identity))
		}
		m := a.store.many(rowsOfIdentities, len(ids), 1)
		m.row(0, ids...)
		rows, err := collect(ctx, a.db.query, m.String(), m.args, func(row scanner) (*symbolon.Row, error) {
			var s scannedRow
			err := row.Scan(&s.id, &s.identity)
			return s.row(), err
		})
		held := 0
		for _, row := range rows {
			if a.users[row.Identity] == row.ID {
				held++
			}
		}
		if err == nil && held != len(ids) {
			err = errRefused
		}
		return err
	})
}

func (a *attempt) insertAlike(ctx context.Context, alike []*newcomer) error {
	columns := alike[0].columns
	if len(columns) == 0 {
		return errRefused // a row that has only default values is left for Write
	}
	head := "insert into {users} (" + quoteAll(columns) + ") values "
	m := a.store.many(head, len(alike), len(columns))
	for i, n := range alike {
		m.row(i, n.values...)
	}
	table := quote(a.shape.users.parts().table)
	key := "cast(" + table + ".{id} as text)"
	m.WriteString(" returning " + key + ", cast(" + table + ".{identity} as text)" + retiredToo + key)
	if !a.shape.givesAgain() {
		m.WriteString(" and symbolon_r.project = ")
		m.param(a.project)
	}
	m.WriteString(")")
	_, err := collect(ctx, a.db.query, m.String(), m.args, func(row scanner) (user symbolon.UserID, err error) {
		var identity string
		var retired bool
		err = row.Scan(&user, &identity, &retired)
		if err == nil && retired {
			err = errRefused
		}
		a.users[asIdentity(identity)] = user
		return user, err
	})
	return err
}

// retiredToo asks whether an ID is retired, as insertRow does. It need not ask whether the ID is linked,
// because the ledger's unique index refuses a linked ID later.
const retiredToo = `,
       exists (select 1 from symbolon.retired symbolon_r where symbolon_r.user_id = `

// bind writes the IDs that the database chose into the entries.
func (a *attempt) bind(ctx context.Context) error {
	unbound := slices.DeleteFunc(slices.Clone(a.all), func(n *newcomer) bool { return n.link.User != "" })
	return inPieces(len(unbound), 2, func(from, to int) error {
		m := a.store.many(bindAll, to-from, 2)
		for i, n := range unbound[from:to] {
			m.row(i, string(n.link.Identity), string(a.users[n.link.Identity]))
		}
		m.WriteString(bindAllEnd)
		m.param(a.project)
		count, err := a.db.exec(ctx, m.String(), m.args...)
		if err == nil && count != int64(to-from) {
			return errTaken
		}
		// The ledger refuses an ID that is linked already. The database can have chosen such
		// an ID only because the row of the linked user is missing.
		return a.store.Dialect.refusalAs(errTaken, err)
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
