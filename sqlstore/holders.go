package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

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
